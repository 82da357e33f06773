//! `latchkey route`: the route rules.

use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;

use super::arguments::Wait;
use super::error::CommandError;
use super::exit::Exit;
use super::output::note;
use super::table::Table;
use super::{Context, Run, document, text};

/// Subcommands of `latchkey route`.
#[derive(Subcommand)]
pub enum Command {
    /// Show the route rules; with --json, in the format that `apply` reads
    Show,
    /// Replace all route rules with those of a file
    Apply(ReplaceRoutes),
}

/// Arguments of `route apply`.
#[derive(Clone, Args)]
pub struct ReplaceRoutes {
    /// A file of YAML or JSON, or - for stdin: {rules: [{path: {prefix: /v4}, permission:
    /// dns:read}], unmatched: deny, path_case: refuse}
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    wait: Wait,
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Context { api, output } = context;
        match self {
            Self::Show => context.show(&["routes"], shown).await,
            Self::Apply(ReplaceRoutes { file, wait }) => {
                let rules: Value = document::read(&file)?;
                let data = api.put(&["routes"], &wait.query(), &rules).await?;
                for affected in text::entries(&data, "affected_rules") {
                    note(&affected_note(affected, text::field(&data, "path_case")));
                }
                output.changed(&data, "route rules replaced")
            }
        }
    }
}

fn shown(routes: &Value) -> String {
    let mut table = Table::new(["RULE", "HOST", "METHODS", "PATH", "NEEDS", "SUBACCOUNT IN"]);
    for (index, rule) in text::entries(routes, "rules").iter().enumerate() {
        table.line([
            (index + 1).to_string(),
            text::inline(&rule["host"]),
            text::inline(&rule["methods"]),
            pair(&rule["path"]),
            needs(rule),
            pair(&rule["subaccount"]),
        ]);
    }

    let unmatched = match text::field(routes, "unmatched") {
        "deny" => "is refused",
        _ => "needs a valid key",
    };
    let path_case = match text::field(routes, "path_case") {
        "ignore" => "Rules ignore letter case.",
        "distinct" => "Paths in another letter case are different paths.",
        _ => "Paths that would match another rule in another letter case are refused.",
    };
    format!(
        "{}\nA request that no rule matches {unmatched}.\n{path_case}\n",
        table.shown()
    )
}

/// Formats a warning about one of the rules that `path_case` affects.
fn affected_note(affected: &Value, path_case: &str) -> String {
    let (rule, earlier) = (
        text::inline(&affected["rule"]),
        text::inline(&affected["conflicts_with"]),
    );
    let effect = if path_case == "ignore" {
        format!("match rule {earlier} instead")
    } else {
        "are refused".to_owned()
    };

    format!(
        "warning: requests spelled like rule {rule} {effect}: rule {earlier} has the same path in \
         another letter case, or without dots and spaces at the end of a segment"
    )
}

/// Formats a path condition: `prefix /v4`.
fn pair(value: &Value) -> String {
    let fields = value.as_object().and_then(|fields| fields.iter().next());
    fields.map_or_else(
        || text::NOTHING.to_owned(),
        |(kind, value)| format!("{} {}", text::plain(kind), text::inline(value)),
    )
}

fn needs(rule: &Value) -> String {
    if rule["public"] == true {
        return "nothing".to_owned();
    }

    let parts = ["service", "permission"]
        .into_iter()
        .filter_map(|field| rule[field].as_str());
    let parts: Vec<_> = parts.map(text::plain).collect();
    if parts.is_empty() {
        "a valid key".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_are_numbered_with_their_requirements() {
        let routes = json!({"unmatched": "deny", "rules": [
            {"path": {"exact": "/health"}, "public": true},
            {"path": {"prefix": "/v4"}, "methods": ["GET", "PUT"], "service": "dns", "permission": "dns:read",
             "subaccount": {"header": "x-sub"}},
        ]});
        assert_eq!(
            shown(&routes),
            "RULE   HOST   METHODS    PATH            NEEDS           SUBACCOUNT IN\n\
             1      -      -          exact /health   nothing         -\n\
             2      -      GET, PUT   prefix /v4      dns, dns:read   header x-sub\n\
             \nA request that no rule matches is refused.\nPaths that would match another rule in \
             another \
             letter case are refused.\n"
        );
    }

    #[test]
    fn affected_rules_are_named_with_the_effect() {
        let affected = json!({"rule": 3, "conflicts_with": 1});
        assert!(
            affected_note(&affected, "refuse")
                .starts_with("warning: requests spelled like rule 3 are refused: rule 1 ")
        );
        assert!(
            affected_note(&affected, "ignore")
                .starts_with("warning: requests spelled like rule 3 match rule 1 instead: ")
        );
    }
}
