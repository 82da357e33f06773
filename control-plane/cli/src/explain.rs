//! `latchkey explain`: the verdict on a request, with every check.

use clap::Args;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;

use super::connection::ApiArgs;
use super::error::CommandError;
use super::exit::Exit;
use super::output::Output;
use super::query::Query;
use super::secret::Secret;
use super::text;

/// The header in which clients send a key.
const KEY_HEADER: &str = "x-api-key";

const SECRETS: &str = "Secrets are not arguments, because every user of the machine can see a \
process' arguments. Give the session token in LATCHKEY_TOKEN, or the password in \
LATCHKEY_PASSWORD, and the request's key in LATCHKEY_KEY or in the file of -H @FILE.";

/// Show the filter's verdict on a request, and why. Exits with 0 if the request would pass, with 3
/// if not
#[derive(Clone, Args)]
#[command(after_help = SECRETS)]
pub struct Explain {
    #[command(flatten)]
    api: ApiArgs,
    /// Id of the key (default: the key in LATCHKEY_KEY, sent as x-api-key, or in the request's
    /// headers)
    #[arg(long, value_name = "KEY_ID")]
    key_id: Option<String>,
    /// A header of the request, such as 'x-subaccount: dev', or a file with one header per line
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE|@FILE")]
    headers: Vec<String>,
    #[arg(skip = Secret::from_env("LATCHKEY_KEY"))]
    key: Option<Secret>,
    /// The client address as Envoy trusts it
    #[arg(long, value_name = "ADDRESS")]
    source_address: Option<IpAddr>,
    /// The request's method
    method: String,
    /// The request's URL, or its path
    target: String,
}

impl Explain {
    /// Sends the request and prints the explanation. An error of the API is not an explanation, and
    /// the command fails.
    pub(super) async fn run(self) -> Result<Exit, CommandError> {
        let question = self.question()?;
        let explanation = self
            .ask(&question)
            .await
            .map_err(CommandError::unexplained)?;
        Output::new(self.api.json, self.api.ignore_lost)
            .show(&explanation, || shown(&explanation))?;

        Ok(if explanation["passes"] == true {
            Exit::Done
        } else {
            Exit::Refused
        })
    }

    async fn ask(&self, question: &Value) -> Result<Value, CommandError> {
        let api = self.api.open().await?;
        let explanation = api.post(&["explain"], &Query::default(), question).await;
        api.close().await;
        explanation
    }

    fn question(&self) -> Result<Value, CommandError> {
        let mut headers = Headers::default();
        for argument in &self.headers {
            match argument.strip_prefix('@') {
                None => headers.add("--header", argument)?,
                Some(file) => headers.add_file(file)?,
            }
        }
        if let (None, Some(key)) = (&self.key_id, &self.key) {
            headers.put(KEY_HEADER, key.expose());
        }

        let (host, path) = split(&self.target);
        Ok(json!({
            "key_id": self.key_id,
            "request": {
                "method": self.method,
                "host": host,
                "path": path,
                "headers": headers.0,
                "source_address": self.source_address,
            },
        }))
    }
}

/// The request's headers, by their names in lower case.
#[derive(Default)]
struct Headers(Map<String, Value>);

impl Headers {
    /// Parses `Name: value`. Errors do not contain the text, as it may hold a key.
    fn add(&mut self, place: &str, header: &str) -> Result<(), CommandError> {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            CommandError::Usage(format!("{place}: must be a name, a colon and a value"))
        })?;
        self.put(name, value);
        Ok(())
    }

    /// Reads a file with one header per line; blank lines are skipped.
    fn add_file(&mut self, file: &str) -> Result<(), CommandError> {
        let text = fs::read_to_string(file).map_err(|error| {
            CommandError::Usage(format!("--header: {file} cannot be read: {error}"))
        })?;
        let mut lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        lines.try_for_each(|(index, line)| {
            self.add(&format!("{file}, line {}", index.saturating_add(1)), line)
        })
    }

    /// Adds a header; joins repeated values like Envoy.
    fn put(&mut self, name: &str, value: &str) {
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        let joined = match self.0.get(&name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value.to_owned(),
        };
        self.0.insert(name, joined.into());
    }
}

/// Splits a target into host and path without changing them: a URL parser would normalize the path
/// that is to be explained.
fn split(target: &str) -> (&str, &str) {
    let Some((_, rest)) = target
        .split_once("://")
        .filter(|_| !target.starts_with('/'))
    else {
        return ("", target);
    };
    match rest.find(['/', '?']) {
        Some(at) if rest[at..].starts_with('/') => rest.split_at(at),
        _ => (rest, "/"),
    }
}

/// Formats the explanation for people.
fn shown(explanation: &Value) -> String {
    let text = |value: &Value| text::plain(value.as_str().unwrap_or_default());
    let mut out = text(&explanation["code"]);
    if let Some(refusal) = explanation.get("refusal") {
        // Writing into a String cannot fail.
        let _ = write!(
            out,
            " ({}): {}",
            refusal["status"],
            text(&refusal["error"]["error"])
        );
    }

    out.push('\n');
    for step in explanation["steps"].as_array().into_iter().flatten() {
        let outcome = text(&step["outcome"]).replace('_', " ");
        let _ = writeln!(
            out,
            "  {:<18}  {outcome:<14}  {}",
            text(&step["check"]),
            text(&step["compared"])
        );
    }

    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_passed_as_written() {
        for (target, host, path) in [
            (
                "https://api.example.com/a/../b%2f?c#d",
                "api.example.com",
                "/a/../b%2f?c#d",
            ),
            ("http://[::1]:8080/", "[::1]:8080", "/"),
            ("http://api.example.com", "api.example.com", "/"),
            (
                "/v4/zones?next=http://elsewhere/",
                "",
                "/v4/zones?next=http://elsewhere/",
            ),
            ("*", "", "*"),
        ] {
            assert_eq!(split(target), (host, path), "{target}");
        }
    }

    #[test]
    fn explanation_is_shown_step_by_step() {
        let explanation = json!({
            "code": "missing_permission", "passes": false,
            "refusal": {"status": 403, "error": {"error": "It lacks it."}},
            "steps": [
                {"check": "public", "outcome": "does_not_apply", "compared": "rule 2 applies"},
                {"check": "missing_permission", "outcome": "refused", "compared": "the key lacks dns:read"},
            ],
        });
        assert_eq!(
            shown(&explanation),
            "missing_permission (403): It lacks it.\n  \
             public              does not apply  rule 2 applies\n  \
             missing_permission  refused         the key lacks dns:read\n"
        );
    }
}
