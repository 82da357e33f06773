//! `latchkey key edit`.

use clap::Args;
use serde_json::{Value, json};

use super::view;
use crate::Context;
use crate::arguments::{self, Body, Limit, Wait};
use crate::confirm::Confirmation;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::timestamp::Timestamp;
use crate::{output, text};

/// Arguments of `key edit`. Omitted attributes stay unchanged.
#[derive(Clone, Args)]
pub struct EditKey {
    /// The key's id
    #[arg(value_name = "ID")]
    key: String,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// New description; an empty text removes it
    #[arg(long)]
    description: Option<String>,
    /// New expiry: RFC 3339, Unix seconds, or a span such as 30d or 12h
    #[arg(long, value_name = "TIME", conflicts_with = "no_expiry")]
    expires: Option<Timestamp>,
    /// Remove the expiry
    #[arg(long)]
    no_expiry: bool,
    /// An address or range that the key may be used from; the given ones replace the current list
    #[arg(
        long = "allow-ip",
        value_name = "CIDR",
        value_delimiter = ',',
        conflicts_with = "clear_allow_ips"
    )]
    allowed_ips: Vec<String>,
    /// An address or range that the key may not be used from; the given ones replace the current
    /// list
    #[arg(
        long = "deny-ip",
        value_name = "CIDR",
        value_delimiter = ',',
        conflicts_with = "clear_deny_ips"
    )]
    denied_ips: Vec<String>,
    /// Clear the allow list
    #[arg(long)]
    clear_allow_ips: bool,
    /// Clear the deny list
    #[arg(long)]
    clear_deny_ips: bool,
    /// Enable the key
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Disable the key
    #[arg(long)]
    disable: bool,
    /// A limit, such as minute=100; other windows stay unchanged
    #[arg(
        long = "limit",
        value_name = "WINDOW=REQUESTS",
        value_delimiter = ',',
        conflicts_with = "clear_limits"
    )]
    limits: Vec<Limit>,
    /// Remove the key's own limits, so that its tier's apply
    #[arg(long)]
    clear_limits: bool,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl EditKey {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let body = self.body()?;
        if self.disable {
            self.confirm.ask(
                &format!(
                    "all requests with {} are refused from now on",
                    text::plain(&self.key)
                ),
                false,
            )?;
        }

        let data = context
            .api
            .patch(&["keys", &self.key], &self.wait.query(), &body)
            .await?;
        context.output.show(&data, || {
            let enforcement = output::enforcement(&data).unwrap_or_default();
            let now = crate::timestamp::now();
            format!(
                "{}\n{} edited: {enforcement}\n",
                view::one(&data, now),
                text::plain(&self.key)
            )
        })?;
        Ok(context.output.exit(&data))
    }

    fn body(&self) -> Result<Value, CommandError> {
        let list = |entries: &[String], clear: bool| {
            (clear || !entries.is_empty()).then(|| json!(entries))
        };
        let limits = match (self.clear_limits, self.limits.as_slice()) {
            (true, _) => Some(Value::Null),
            (false, []) => None,
            (false, limits) => Some(arguments::limits(limits)?),
        };
        let expiry = if self.no_expiry {
            Some(Value::Null)
        } else {
            self.expires.map(|expires| expires.in_future().into())
        };
        let body = Body::default()
            .with("name", self.name.as_deref())
            .with(
                "description",
                self.description
                    .as_deref()
                    .map(|text| (!text.is_empty()).then_some(text)),
            )
            .with("expires_at", expiry)
            .with("allowed_ips", list(&self.allowed_ips, self.clear_allow_ips))
            .with("denied_ips", list(&self.denied_ips, self.clear_deny_ips))
            .with(
                "active",
                (self.enable || self.disable).then_some(self.enable),
            )
            .with("limits", limits);

        body.edit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        edit: EditKey,
    }

    #[test]
    fn only_given_options_are_edited() {
        for (arguments, body) in [
            (
                &["--name", "CD", "--description", ""] as &[_],
                json!({"name": "CD", "description": null}),
            ),
            (
                &["--no-expiry", "--disable"],
                json!({"expires_at": null, "active": false}),
            ),
            (
                &["--expires", "1900000000", "--enable"],
                json!({"expires_at": "2030-03-17T17:46:40Z", "active": true}),
            ),
            (
                &["--allow-ip", "::1", "--clear-deny-ips"],
                json!({"allowed_ips": ["::1"], "denied_ips": []}),
            ),
            (&["--limit", "day=5"], json!({"limits": {"day": 5}})),
            (&["--clear-limits"], json!({"limits": null})),
        ] {
            let line = Line::try_parse_from(["edit", "key_1"].iter().chain(arguments)).unwrap();
            assert_eq!(line.edit.body().unwrap(), body);
        }

        let nothing = Line::try_parse_from(["edit", "key_1"])
            .unwrap()
            .edit
            .body()
            .unwrap_err();
        assert!(
            nothing.to_string().starts_with("there is nothing to edit"),
            "{nothing}"
        );
        for contradiction in [
            ["--enable", "--disable"],
            ["--clear-limits", "--limit=day=5"],
            ["--no-expiry", "--expires=30d"],
            ["--clear-allow-ips", "--allow-ip=::1"],
        ] {
            assert!(Line::try_parse_from(["edit", "key_1"].iter().chain(&contradiction)).is_err());
        }
    }
}
