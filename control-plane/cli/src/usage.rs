//! `latchkey usage`: requests by key, code and time.

use clap::Args;
use serde_json::Value;

use super::error::CommandError;
use super::exit::Exit;
use super::moment::Moment;
use super::query::Query;
use super::table::Table;
use super::{Context, Run, text};

/// Arguments of `usage`. By default the last day by hour.
#[derive(Clone, Args)]
pub struct Usage {
    /// Only requests with the key of this id
    #[arg(long, value_name = "KEY_ID")]
    key: Option<String>,
    /// Only requests since this time: RFC 3339, Unix seconds, or a past span such as 7d
    #[arg(long, value_name = "TIME")]
    from: Option<Moment>,
    /// Only requests before this time, in the same formats
    #[arg(long, value_name = "TIME")]
    to: Option<Moment>,
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
            .with("from", self.from.map(Moment::back))
            .with("to", self.to.map(Moment::back))
            .with("bucket", self.bucket.as_ref())
            .with("code", self.code.as_ref())
    }
}

impl Run for Usage {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let data = context.api.get(&["usage"], &self.query()).await?;
        context.output.show(&data, || table(&data))?;
        Ok(Exit::Done)
    }
}

fn table(usage: &Value) -> String {
    let mut table = Table::new(["START", "KEY", "CODE", "REQUESTS"]);
    for bucket in text::entries(usage, "buckets") {
        table.line([
            text::date(&bucket["start"]),
            text::of(&bucket["key_id"]),
            text::of(&bucket["code"]),
            text::of(&bucket["requests"]),
        ]);
    }
    table.shown()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn usage_is_a_line_for_each_bucket() {
        let usage = json!({"buckets": [
            {"start": "2027-01-15T08:00:00Z", "key_id": "key_1", "code": "allowed", "requests": 12},
        ]});
        assert_eq!(
            table(&usage),
            "START              KEY     CODE      REQUESTS\n2027-01-15 08:00   key_1   allowed   12\n"
        );
        let all = Usage {
            key: Some("key_1".into()),
            from: Some(Moment::At(0)),
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
