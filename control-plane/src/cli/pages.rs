//! Lists that come in pages.

use clap::Args;
use serde_json::Value;

use super::client::Api;
use super::error::CommandError;
use super::output::note;
use super::query::Query;
use super::text;

/// The most that the API gives at once.
const PAGE: usize = 1_000;

/// How much of a list is wanted.
#[derive(Debug, Clone, Args)]
pub(super) struct Extent {
    /// Entries at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    limit: usize,
    /// All entries
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a whole number from 1".to_owned())
}

impl Extent {
    /// `data` of the list at `path`, with the entries of all pages that are wanted in its field `list`.
    pub(super) async fn of(&self, api: &Api, path: &[&str], list: &str, query: Query) -> Result<Value, CommandError> {
        let data = collect(api, path, list, query, (!self.all).then_some(self.limit)).await?;
        if !data["next_cursor"].is_null() {
            // The audit does not say how many there are.
            let of = data["total"].as_u64().map_or_else(String::new, |total| format!(" of {total}"));
            let shown = text::entries(&data, list).len();
            note(&format!("latchkey: {shown}{of} are shown; --all shows all"));
        }
        Ok(data)
    }
}

/// All entries of the list at `path`.
pub(super) async fn all(api: &Api, path: &[&str], list: &str, query: Query) -> Result<Vec<Value>, CommandError> {
    let mut data = collect(api, path, list, query, None).await?;
    Ok(match data[list].take() {
        Value::Array(entries) => entries,
        _ => Vec::new(),
    })
}

async fn collect(
    api: &Api,
    path: &[&str],
    list: &str,
    query: Query,
    wanted: Option<usize>,
) -> Result<Value, CommandError> {
    let mut entries = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let more = wanted.map_or(PAGE, |wanted| wanted.saturating_sub(entries.len()).min(PAGE));
        let page = query.clone().with("limit", Some(more)).with("cursor", cursor.as_ref());
        let mut data = api.get(path, &page).await?;
        let Value::Array(found) = data[list].take() else {
            return Err(CommandError::refused(200, &format!("the answer has no list `{list}`")));
        };
        let nothing = found.is_empty();
        entries.extend(found);
        cursor = data["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || nothing || wanted.is_some_and(|wanted| entries.len() >= wanted) {
            data[list] = Value::Array(entries);
            return Ok(data);
        }
    }
}
