//! A verdict and its checks.

use latchkey_model::clock::rfc3339;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::session::Session;
use crate::widgets::{badge, columns, time, wide_table};

/// The verdict on a request, as the API returns it.
#[derive(Deserialize)]
pub(crate) struct ExplainView {
    code: String,
    passes: bool,
    refusal: Option<ClientResponse>,
    rule: Option<u64>,
    key_id: Option<String>,
    subaccount: Option<String>,
    steps: Vec<CheckView>,
}

/// The error response to the client.
#[derive(Deserialize)]
struct ClientResponse {
    status: u16,
    error: Value,
    retry_after: Option<i64>,
}

/// A check of the request and its outcome.
#[derive(Deserialize)]
struct CheckView {
    check: String,
    outcome: String,
    compared: String,
}

impl ExplainView {
    /// Renders the verdict as a section of a page.
    pub(crate) fn section(&self, session: &Session) -> Markup {
        html! {
            section #verdict .card tabindex="-1" aria-label="Verdict" {
                h2 {
                    @if self.passes { "The request passes " (badge("good", &self.code)) }
                    @else { "The request is refused " (badge("bad", &self.code)) }
                }
                (self.facts(session))
                h3 { "Step by step" }
                (self.steps())
                @if let Some(response) = &self.refusal {
                    h3 { "Response to the client" }
                    pre tabindex="0" { (format!("{:#}", response.error)) }
                }
            }
        }
    }

    /// Renders the rule that applies and the checks for a request without a key. The missing key is
    /// not reported as the result.
    pub(crate) fn rule_summary(&self) -> Markup {
        html! {
            p .lead {
                @match (self.rule, self.code.as_str()) {
                    (Some(rule), "public") => { a href={ "#rule-" (rule) } { "Rule " (rule) } " applies: no key is needed." },
                    (Some(rule), _) => { a href={ "#rule-" (rule) } { "Rule " (rule) } " applies: a key is needed." },
                    (None, _) => "No rule applies.",
                }
            }
            (self.steps())
        }
    }

    fn facts(&self, session: &Session) -> Markup {
        html! {
            dl {
                dt { "Route rule" }
                dd { @match self.rule {
                    Some(rule) if session.user.may("gateway:routes:read") => {
                        a href={ "/console/routes#rule-" (rule) } { "rule " (rule) }
                    },
                    Some(rule) => { "rule " (rule) },
                    None => "none applies",
                } }
                @if let Some(id) = &self.key_id {
                    dt { "Key" }
                    dd { a href={ "/console/keys/" (id) } { (id) } }
                }
                @if let Some(subaccount) = &self.subaccount {
                    dt { "Subaccount" }
                    dd { (subaccount) }
                }
                @if let Some(response) = &self.refusal {
                    dt { "Status" }
                    dd { (response.status) }
                    @if let Some(seconds) = response.retry_after {
                        dt { "Retry after" }
                        dd { (seconds) @if seconds == 1 { " second" } @else { " seconds" } }
                    }
                }
            }
        }
    }

    fn steps(&self) -> Markup {
        let rows = html! {
            @for step in &self.steps {
                tr {
                    th scope="row" { (title(&step.check)) div .faint { code { (step.check) } } }
                    td { (outcome(&step.outcome)) }
                    td { (with_times(&step.compared)) }
                }
            }
        };
        wide_table(
            "Steps",
            &columns(&["Check", "Outcome", "Comparison"]),
            &rows,
        )
    }
}

fn outcome(outcome: &str) -> Markup {
    match outcome {
        "passed" | "applies" => badge("good", &outcome.replace('_', " ")),
        "refused" => badge("bad", outcome),
        other => badge("", &other.replace('_', " ")),
    }
}

/// Renders a sentence with readable times. A time is Unix seconds after the word `at`, `is` or
/// `until`.
fn with_times(sentence: &str) -> Markup {
    let mut before = "";
    html! {
        @for word in sentence.split(' ') {
            @let (digits, end) = word.split_at(word.trim_end_matches(',').len());
            @match digits.parse::<i64>() {
                Ok(second) if ["at", "is", "until"].contains(&before) => { (time(&rfc3339(second))) (end) },
                _ => (word),
            }
            " "
            ({ before = word; "" })
        }
    }
}

/// Returns the title of a check, by the code with which it refuses.
fn title(check: &str) -> &str {
    match check {
        "public" => "Public route",
        "not_ready" => "Snapshot available",
        "missing_key" => "Key present",
        "ambiguous_key" => "Only one key",
        "malformed_key" => "Key format",
        "invalid_key" => "Key exists",
        "disabled_key" => "Key enabled",
        "expired_key" => "Key not expired",
        "ip_denied" => "Source address",
        "out_of_scope" => "Scope",
        "missing_permission" => "Permission",
        "subaccount_denied" => "Subaccount",
        "rate_limited" => "Limits",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::with_times;

    #[test]
    fn times_in_sentences_are_rendered_as_times() {
        let shown = with_times("it expires at 1800000000, and it is 1700000000").into_string();
        assert_eq!(shown.matches("<time").count(), 2);
        assert!(
            shown.contains("2027-01-15 08:00:00 UTC</time>, and it is <time"),
            "{shown}"
        );

        let limit = "595 of 4294967295 requests per minute left until 1800000000";
        assert_eq!(with_times(limit).into_string().matches("<time").count(), 1);
    }
}
