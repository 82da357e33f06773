//! `latchkey user show`, and the users that commands refer to.

use clap::Args;
use latchkey_model::text::normalized_email;

use super::view;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::query::Query;
use crate::{Context, pages, text};

/// A user, by id or email address.
#[derive(Clone, Args)]
pub struct UserRef {
    /// The user's id or email address
    #[arg(value_name = "ID|EMAIL")]
    pub(super) reference: String,
}

impl UserRef {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let id = self.id(context).await?;
        context.show(&["users", &id], view::one).await
    }

    /// Returns the user's id.
    pub(super) async fn id(&self, context: &Context) -> Result<String, CommandError> {
        if !self.reference.contains('@') {
            return Ok(self.reference.clone());
        }

        let query = Query::default().with("search", Some(&self.reference));
        let found = pages::all(&context.api, &["users"], "users", query).await?;
        let found = found
            .iter()
            .find(|user| text::field(user, "email") == normalized_email(&self.reference));
        let nobody =
            || CommandError::NotFound(format!("no user is named {}", text::plain(&self.reference)));

        Ok(text::field(found.ok_or_else(nobody)?, "user_id").to_owned())
    }
}
