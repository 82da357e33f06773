//! `latchkey key show`.

use clap::Args;
use latchkey_model::text::{has_form_of_id, normalized_name};
use serde_json::Value;

use super::view;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::query::Query;
use crate::{Context, pages, text, timestamp};

/// Arguments of `key show`.
#[derive(Clone, Args)]
pub struct ShowKey {
    /// The key's id, or its name if it is not revoked
    #[arg(value_name = "ID|NAME")]
    key: String,
}

impl ShowKey {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let id = if has_form_of_id(&self.key) {
            self.key
        } else {
            id_by_name(context, &self.key).await?
        };
        let formatted = |key: &Value| view::one(key, timestamp::now());
        context.show(&["keys", &id], formatted).await
    }
}

/// Returns the id of the key of that name that is not revoked, preferably one that has not expired.
async fn id_by_name(context: &Context, name: &str) -> Result<String, CommandError> {
    let name = &normalized_name(name);
    let query = Query::default().with("search", Some(name));
    let found = pages::all(&context.api, &["keys"], "keys", query).await?;
    let has_name = |key: &&Value| text::field(key, "name") == *name && key["revoked_at"].is_null();
    // Expired keys can have the same name.
    let key = found
        .iter()
        .filter(has_name)
        .min_by_key(|key| view::has_expired(key, timestamp::now()));
    let key = key
        .ok_or_else(|| CommandError::NotFound(format!("no key is named {}", text::plain(name))))?;

    Ok(text::field(key, "key_id").to_owned())
}
