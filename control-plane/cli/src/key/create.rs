//! `latchkey key create`.

use clap::Args;
use serde_json::{Value, json};
use std::path::Path;

use super::view;
use crate::Context;
use crate::arguments::{self, Body, Limit, Repeat, Wait};
use crate::destination::Destination;
use crate::document;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::query::Query;
use crate::text;
use crate::timestamp::{self, Timestamp};

/// Arguments of `key create`.
#[derive(Clone, Args)]
pub struct CreateKey {
    /// The key's name, unique among the keys that are not revoked or expired
    name: String,
    /// Description of the key
    #[arg(long)]
    description: Option<String>,
    /// Environment: live (default) or test
    #[arg(long, value_parser = ["live", "test"])]
    environment: Option<String>,
    /// The key's tier (default: the account's)
    #[arg(long)]
    tier: Option<String>,
    /// Services in scope, or all (default)
    #[arg(long, value_name = "SERVICE,...|all", value_delimiter = ',')]
    scope: Vec<String>,
    /// A role of the key
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// A permission of the key
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',')]
    permissions: Vec<String>,
    /// A subaccount that the key is restricted to, by name or id
    #[arg(long = "subaccount", value_name = "SUBACCOUNT", value_delimiter = ',')]
    subaccounts: Vec<String>,
    /// An address or range that the key may be used from
    #[arg(long = "allow-ip", value_name = "CIDR", value_delimiter = ',')]
    allowed_ips: Vec<String>,
    /// An address or range that the key may not be used from
    #[arg(long = "deny-ip", value_name = "CIDR", value_delimiter = ',')]
    denied_ips: Vec<String>,
    /// Expiry: RFC 3339, Unix seconds, or a span such as 30d or 12h
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// A limit, such as minute=100, in place of the tier's
    #[arg(long = "limit", value_name = "WINDOW=REQUESTS", value_delimiter = ',')]
    limits: Vec<Limit>,
    /// Limits for keys that this key creates, in place of its own attributes: an object such as
    /// {"tier": "pro", "limits": {"day": 1000}, "addresses": "all", "expiry_days": 90,
    /// "environments": ["live"]}, or a JSON or YAML file with one
    #[arg(long, value_name = "JSON|FILE")]
    issues: Option<String>,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    repeat: Repeat,
    #[command(flatten)]
    wait: Wait,
}

impl CreateKey {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let subaccounts = arguments::subaccount_ids(context, &self.subaccounts).await?;
        let body = self.body(&subaccounts)?;
        let ready = self.destination.ready()?;
        let data = context
            .api
            .post_once(
                &["keys", "generate"],
                &self.wait.query(),
                &body,
                &self.repeat,
            )
            .await?;
        let (id, exit) = (
            text::field(&data, "key_id").to_owned(),
            context.output.exit(&data),
        );
        if Repeat::is_repeated(&data) {
            let id = text::plain(&id);
            let made = format!(
                "the key {id} was created by an earlier call, and its secret is not shown again"
            );
            return Err(CommandError::PartiallyApplied(format!(
                "{made}: create a new one with latchkey key regenerate {id}"
            )));
        }

        let delivered = ready.deliver(context.output, data, "api_key", |key| {
            view::one(key, timestamp::now())
        });
        match delivered {
            Ok(()) => Ok(exit),
            Err(error) => Err(revoke_undelivered(context, &id, &error).await),
        }
    }

    fn body(&self, subaccounts: &[String]) -> Result<Value, CommandError> {
        let scope = (!self.scope.is_empty())
            .then(|| arguments::selection("--scope", &self.scope))
            .transpose()?;
        let limits = (!self.limits.is_empty())
            .then(|| arguments::limits(&self.limits))
            .transpose()?;
        let body = Body::default()
            .with("name", Some(json!(self.name)))
            .with("description", self.description.as_deref())
            .with("environment", self.environment.as_deref())
            .with("tier", self.tier.as_deref())
            .with("scope", scope)
            .listed("roles", &self.roles)
            .listed("permissions", &self.permissions)
            .listed("allowed_subaccounts", subaccounts)
            .listed("allowed_ips", &self.allowed_ips)
            .listed("denied_ips", &self.denied_ips)
            .with("expires_at", self.expires.map(Timestamp::in_future))
            .with("limits", limits)
            .with("issues", self.issues.as_deref().map(issues).transpose()?);

        Ok(body.json())
    }
}

/// Parses the object, or the file of that name.
fn issues(text: &str) -> Result<Value, CommandError> {
    let refused = |reason: String| CommandError::usage(format!("--issues: {reason}"));
    let value = if text.trim_start().starts_with('{') {
        document::value(text).map_err(refused)?
    } else {
        let file = Path::new(text);
        document::value(&document::text(file)?)
            .map_err(|reason| CommandError::file(file, reason))?
    };

    if value.is_object() {
        Ok(value)
    } else {
        Err(refused("must be an object".to_owned()))
    }
}

/// Revokes a key whose secret was never shown.
pub(crate) async fn revoke_undelivered(
    context: &Context,
    id: &str,
    error: &CommandError,
) -> CommandError {
    let reason = match context.api.delete(&["keys", id], &Query::default()).await {
        Ok(_) => format!(
            "{error}; the key {} was revoked, because its secret was never shown",
            text::plain(id)
        ),
        Err(kept) => format!(
            "{error}; revoke the key {}, because its secret was never shown: {kept}",
            text::plain(id)
        ),
    };
    CommandError::PartiallyApplied(reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: CreateKey,
        #[arg(long)]
        json: bool,
    }

    fn body(arguments: &[&str]) -> Result<Value, String> {
        let line = Line::try_parse_from(["create"].iter().chain(arguments))
            .map_err(|error| error.to_string())?;
        line.create
            .body(&line.create.subaccounts)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn omitted_options_are_left_to_the_api() {
        assert_eq!(body(&["CI"]).unwrap(), json!({"name": "CI"}));
    }

    #[test]
    fn every_option_is_sent() {
        let all = [
            "CI",
            "--description",
            "for CI",
            "--environment",
            "test",
            "--tier",
            "pro",
            "--scope",
            "dns,cdn",
            "--role",
            "dns_manager",
            "--permission",
            "cache:purge,dns:read",
            "--subaccount",
            "sub_1",
            "--allow-ip",
            "10.0.0.0/8",
            "--deny-ip",
            "::1",
            "--expires",
            "2030-01-01T00:00:00Z",
            "--limit",
            "minute=100",
            "--limit",
            "day=5",
            "--issues",
            r#"{"tier": "free", "addresses": "all"}"#,
        ];
        let expected = json!({
            "name": "CI", "description": "for CI", "environment": "test", "tier": "pro", "scope": ["dns", "cdn"],
            "roles": ["dns_manager"], "permissions": ["cache:purge", "dns:read"], "allowed_subaccounts": ["sub_1"],
            "allowed_ips": ["10.0.0.0/8"], "denied_ips": ["::1"], "expires_at": "2030-01-01T00:00:00Z",
            "limits": {"minute": 100, "day": 5}, "issues": {"tier": "free", "addresses": "all"},
        });
        assert_eq!(body(&all).unwrap(), expected);
        assert_eq!(
            body(&["CI", "--scope", "all"]).unwrap(),
            json!({"name": "CI", "scope": "all"})
        );
    }

    #[test]
    fn invalid_key_options_are_named() {
        for (arguments, reason) in [
            (["CI", "--expires", "soon"], "--expires <TIME>"),
            (["CI", "--limit", "minute=0"], "--limit <WINDOW=REQUESTS>"),
            (
                ["CI", "--scope", "all,dns"],
                "--scope: all cannot be combined",
            ),
            (
                ["CI", "--environment", "prod"],
                "--environment <ENVIRONMENT>",
            ),
            (["CI", "--issues", "{"], "--issues: "),
            (["CI", "--issues", "/does/not/exist"], "/does/not/exist"),
            (["CI", "--quiet", "--save=x"], "cannot be used with"),
        ] {
            let error = body(&arguments).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
