//! `latchkey key list` and `latchkey key show`.

use clap::Args;
use latchkey_model::text::{has_form_of_id, normalized_name};
use serde_json::Value;

use super::view;
use crate::Context;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::moment;
use crate::pages::{self, Extent};
use crate::query::Query;
use crate::text;

const STATES: [&str; 6] = ["active", "disabled", "expired", "revoked", "live", "all"];

const SORTS: [&str; 8] = [
    "created_at",
    "-created_at",
    "name",
    "-name",
    "expires_at",
    "-expires_at",
    "last_used_at",
    "-last_used_at",
];

/// Arguments of `key list`.
#[derive(Clone, Args)]
pub struct List {
    #[command(flatten)]
    filter: Filter,
    /// Field to sort by; a leading - sorts in descending order
    #[arg(long, value_name = "FIELD", value_parser = SORTS, allow_hyphen_values = true)]
    sort: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

/// The filters of keys.
#[derive(Debug, Clone, Args)]
pub(super) struct Filter {
    /// Only keys whose names or descriptions contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only keys with this role
    #[arg(long)]
    role: Option<String>,
    /// Only keys of this tier
    #[arg(long)]
    tier: Option<String>,
    /// Only keys of this environment
    #[arg(long, value_parser = ["live", "test"])]
    environment: Option<String>,
    /// Only keys in this state (default: live, all keys that are not revoked)
    #[arg(long, value_parser = STATES)]
    state: Option<String>,
    /// Only keys of the user with this id or email address
    #[arg(long, value_name = "USER_ID")]
    owner: Option<String>,
    /// Only keys that expire within this number of days
    #[arg(long, value_name = "DAYS")]
    expires_within: Option<u32>,
    /// Only keys that were never used
    #[arg(long)]
    unused: bool,
}

impl Filter {
    pub(super) fn query(&self) -> Query {
        Query::default()
            .with("search", self.search.as_ref())
            .with("role", self.role.as_ref())
            .with("tier", self.tier.as_ref())
            .with("environment", self.environment.as_ref())
            .with("state", self.state.as_ref())
            .with("owner", self.owner.as_ref())
            .with("expires_within_days", self.expires_within)
            .with("unused", self.unused.then_some(true))
    }
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = self.filter.query().with("sort", self.sort.as_ref());
        let now = moment::now();
        self.extent
            .show(context, (&["keys"], "keys"), query, view::HEADINGS, |key| {
                view::line(key, now)
            })
            .await
    }
}

/// Arguments of `key show`.
#[derive(Clone, Args)]
pub struct Show {
    /// The key's id, or its name if it is not revoked
    #[arg(value_name = "ID|NAME")]
    key: String,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let id = if has_form_of_id(&self.key) {
            self.key
        } else {
            named(context, &self.key).await?
        };
        let data = context.api.get(&["keys", &id], &Query::default()).await?;
        context
            .output
            .show(&data, || view::one(&data, moment::now()))?;
        Ok(Exit::Done)
    }
}

/// Returns the id of the key of that name that is not revoked, preferably one that has not expired.
async fn named(context: &Context, name: &str) -> Result<String, CommandError> {
    let name = &normalized_name(name);
    let query = Query::default().with("search", Some(name));
    let found = pages::all(&context.api, &["keys"], "keys", query).await?;
    let of_name = |key: &&Value| text::field(key, "name") == *name && key["revoked_at"].is_null();
    // Expired keys can have the same name.
    let key = found
        .iter()
        .filter(of_name)
        .min_by_key(|key| view::has_expired(key, moment::now()));
    let key = key
        .ok_or_else(|| CommandError::NotFound(format!("no key is named {}", text::plain(name))))?;
    Ok(text::field(key, "key_id").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        list: List,
    }

    #[test]
    fn filters_are_parameters() {
        let query = |arguments: &[&str]| {
            let line = Line::try_parse_from(["list"].iter().chain(arguments)).unwrap();
            line.list
                .filter
                .query()
                .with("sort", line.list.sort.as_ref())
        };
        assert_eq!(query(&[]).pairs(), []);
        let all = [
            "--search",
            "CI",
            "--role",
            "admin",
            "--tier",
            "pro",
            "--state",
            "all",
            "--owner",
            "usr_1",
            "--expires-within",
            "7",
            "--unused",
            "--sort",
            "-last_used_at",
        ];
        let pairs = [
            ("search", "CI"),
            ("role", "admin"),
            ("tier", "pro"),
            ("state", "all"),
            ("owner", "usr_1"),
            ("expires_within_days", "7"),
            ("unused", "true"),
            ("sort", "-last_used_at"),
        ];
        assert_eq!(
            query(&all).pairs(),
            pairs.map(|(name, value)| (name, value.to_owned()))
        );
        assert!(Line::try_parse_from(["list", "--sort", "colour"]).is_err());
        assert!(Line::try_parse_from(["list", "--all", "--limit", "5"]).is_err());
        assert!(Line::try_parse_from(["list", "--limit", "0"]).is_err());
    }
}
