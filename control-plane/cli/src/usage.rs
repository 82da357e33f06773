//! `latchkey usage`: requests by key, code and time.

use clap::Args;
use serde_json::Value;

use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::timestamp::Timestamp;
use super::{Context, Run, text};

/// Arguments of `usage`. By default the last day by hour.
#[derive(Clone, Args)]
pub struct Usage {
    /// Only requests with the key of this id
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
    /// Only requests since this time: RFC 3339, Unix seconds, or a past span such as 7d
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only requests before this time, in the same formats
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Period of each line (default: hour)
    #[arg(long, value_parser = ["hour", "day"])]
    bucket: Option<String>,
    /// Only requests with this code
    #[arg(long)]
    code: Option<String>,
}

impl Usage {
    fn query(&self) -> Query {
        Query::default()
            .with("key_id", self.key.as_ref())
            .with("from", self.from.map(Timestamp::in_past))
            .with("to", self.to.map(Timestamp::in_past))
            .with("bucket", self.bucket.as_ref())
            .with("code", self.code.as_ref())
    }
}

impl Run for Usage {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        context
            .list((&["usage"], "buckets"), &self.query(), HEADINGS, line)
            .await
    }
}

const HEADINGS: [&str; 4] = ["START", "KEY", "CODE", "REQUESTS"];

fn line(bucket: &Value) -> [String; 4] {
    [
        text::date(&bucket["start"]),
        text::inline(&bucket["key_id"]),
        text::inline(&bucket["code"]),
        text::inline(&bucket["requests"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::rows;
    use serde_json::json;

    #[test]
    fn usage_has_one_line_per_bucket() {
        let bucket = json!(
            {"start": "2027-01-15T08:00:00Z", "key_id": "key_1", "code": "allowed", "requests": 12}
        );
        assert_eq!(
            rows(HEADINGS, &[bucket], line),
            "START              KEY     CODE      REQUESTS\n2027-01-15 08:00   key_1   allowed   12\n"
        );
        let all = Usage {
            key: Some("key_1".into()),
            from: Some(Timestamp::At(0)),
            to: None,
            bucket: Some("day".into()),
            code: Some("allowed".into()),
        };
        let pairs = [
            ("key_id", "key_1"),
            ("from", "1970-01-01T00:00:00Z"),
            ("bucket", "day"),
            ("code", "allowed"),
        ];
        assert_eq!(
            all.query().pairs(),
            pairs.map(|(name, value)| (name, value.to_owned()))
        );
    }
}
