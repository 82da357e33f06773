//! `latchkey key list`.

use clap::Args;

use super::view;
use crate::Context;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::pages::Extent;
use crate::query::Query;
use crate::timestamp;

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
pub struct ListKeys {
    #[command(flatten)]
    filter: KeyFilter,
    /// Field to sort by; a leading - sorts in descending order
    #[arg(long, value_name = "FIELD", value_parser = SORTS, allow_hyphen_values = true)]
    sort: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

/// The filters of keys.
#[derive(Debug, Clone, Args)]
pub(super) struct KeyFilter {
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

impl KeyFilter {
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

impl ListKeys {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = self.filter.query().with("sort", self.sort.as_ref());
        let now = timestamp::now();
        self.extent
            .show(context, (&["keys"], "keys"), query, view::HEADINGS, |key| {
                view::line(key, now)
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        list: ListKeys,
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
