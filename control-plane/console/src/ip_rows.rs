//! The editor of an IP list, with a row for each entry, which is checked as it is typed.

use axum::response::{Html, IntoResponse as _, Response};
use latchkey_policy::address::parse_entry;
use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use crate::api::Refusal;
use crate::error::PageError;
use crate::error_page;
use crate::form::Fields;
use crate::session::VerifiedForm;

/// An entry of an IP list.
#[derive(Debug, Clone, Deserialize, Serialize)]
pub(crate) struct IpEntry {
    pub(crate) cidr: String,
    pub(crate) enabled: bool,
}

/// The path at which rows are checked one by one.
pub(super) const CHECK: &str = "/console/check/ip";

/// The end of the names of fields with an address or range.
const CIDR: &str = ".cidr";

/// The placeholder for a row's number in the template, which the script replaces.
const NUMBER: &str = "NUMBER";

/// The number of empty rows after the entries, for browsers without a script.
const SPARE: usize = 2;

/// Renders the rows of `list`, which is `allowed_ips` or `denied_ips`. An error about an entry is
/// shown at its row, by its index in `entries`.
pub(super) fn editor(list: &str, entries: &[IpEntry], refusal: Option<&Refusal>) -> Markup {
    let list_refusal = refusal.filter(|refusal| refusal.field.as_deref() == Some(list));
    let empty = IpEntry {
        cidr: String::new(),
        enabled: true,
    };

    html! {
        @if let Some(refusal) = list_refusal { p .error role="alert" { (refusal.error) } }
        div id={ (list) "-rows" } {
            @for (index, entry) in entries.iter().enumerate() {
                (row(list, &index.to_string(), entry, row_error(list, index, entry, refusal).as_deref()))
            }
            noscript {
                @for index in entries.len()..entries.len().saturating_add(SPARE) {
                    (row(list, &index.to_string(), &empty, None))
                }
            }
        }
        template id={ (list) "-row" } { (row(list, NUMBER, &empty, None)) }
        button .quiet .scripted type="button" data-add={ (list) "-row" } data-to={ (list) "-rows" } { "Add an address" }
    }
}

/// Returns the non-empty rows that were sent for `list`, in their order.
pub(super) fn read(list: &str, fields: &Fields) -> Vec<IpEntry> {
    let rows = fields.iter().filter_map(|(name, cidr)| {
        let number = name
            .strip_prefix(list)?
            .strip_prefix('.')?
            .strip_suffix(CIDR)?;
        Some((number, cidr.trim())).filter(|(_, cidr)| !cidr.is_empty())
    });

    let entry = |(number, cidr): (&str, &str)| IpEntry {
        cidr: cidr.to_owned(),
        enabled: fields.is_set(&format!("{list}.{number}.enabled")),
    };
    rows.map(entry).collect()
}

/// Responds with the error of one row, or an empty text. A request that is refused changes nothing
/// on the page; its row is checked when the form is sent.
pub(super) async fn check(form: Result<VerifiedForm, PageError>) -> Response {
    let fields = match form {
        Ok(VerifiedForm { fields, .. }) => fields,
        Err(error) => return error_page::in_background(error),
    };

    let row = fields.iter().find(|(name, _)| name.ends_with(CIDR));
    let problem = row.and_then(|(_, cidr)| problem(cidr)).unwrap_or_default();
    Html(html! { (problem) }.into_string()).into_response()
}

fn row(list: &str, number: &str, entry: &IpEntry, problem: Option<&str>) -> Markup {
    let name = format!("{list}.{number}{CIDR}");
    let error = format!("{list}-{number}-error");

    html! {
        div .row {
            input type="text" name=(name) value=(entry.cidr) aria-label="Address or range" placeholder="192.0.2.0/24"
                autocomplete="off" autocapitalize="none" spellcheck="false"
                aria-describedby=(error) aria-invalid=[problem.map(|_| "true")]
                hx-post=(CHECK) hx-params=(name) hx-trigger="input changed delay:400ms, change" hx-sync="this:replace"
                hx-target={ "#" (error) } hx-swap="innerHTML" hx-push-url="false" data-checked;
            label .box {
                input type="checkbox" name={ (list) "." (number) ".enabled" } value="true" checked[entry.enabled];
                "Enabled"
            }
            button .quiet .scripted type="button" data-remove { "Remove" span .hidden { " this address" } }
            span .error id=(error) role="alert" { @if let Some(problem) = problem { (problem) } }
        }
    }
}

/// Returns the error of a row: one that the parser finds, or that of the API.
fn row_error(
    list: &str,
    index: usize,
    entry: &IpEntry,
    refusal: Option<&Refusal>,
) -> Option<String> {
    let name = format!("{list}[{index}]");
    let refused = || {
        refusal
            .filter(|refusal| refusal.is_about(&name))
            .map(|refusal| refusal.error.clone())
    };
    problem(&entry.cidr).or_else(refused)
}

/// Returns the error of an address or range, found by the API's parser.
fn problem(cidr: &str) -> Option<String> {
    let cidr = cidr.trim();
    if cidr.is_empty() {
        return None;
    }
    parse_entry(cidr)
        .err()
        .map(|reason| format!("“{cidr}” {reason}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(sent: &[(&str, &str)]) -> Fields {
        sent.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn shown(entries: &[(&str, bool)], refusal: Option<(&str, &str)>) -> String {
        let entry = |(cidr, enabled): &(&str, bool)| IpEntry {
            cidr: (*cidr).to_owned(),
            enabled: *enabled,
        };
        let refusal = refusal.map(|(field, error)| Refusal::for_field(field, error));
        let entries: Vec<_> = entries.iter().map(entry).collect();
        editor("allowed_ips", &entries, refusal.as_ref()).into_string()
    }

    #[test]
    fn ip_rows_keep_their_order() {
        let sent = fields(&[
            ("allowed_ips.1.cidr", " 10.0.0.0/8 "),
            ("allowed_ips.1.enabled", "true"),
            ("denied_ips.0.cidr", "192.0.2.1"),
            ("allowed_ips.17.cidr", ""),
            ("allowed_ips.17.enabled", "true"),
            ("allowed_ips.0.cidr", "nonsense"),
        ]);
        let rows = |list| {
            read(list, &sent)
                .into_iter()
                .map(|entry| (entry.cidr, entry.enabled))
                .collect::<Vec<_>>()
        };

        assert_eq!(
            rows("allowed_ips"),
            [
                ("10.0.0.0/8".to_owned(), true),
                ("nonsense".to_owned(), false)
            ]
        );
        assert_eq!(rows("denied_ips"), [("192.0.2.1".to_owned(), false)]);
    }

    #[test]
    fn error_is_shown_in_its_row() {
        let page = shown(&[("10.0.0.1/8", true), ("192.0.2.1", true)], None);
        assert!(page.contains("its range is 10.0.0.0/8."), "{page}");
        assert_eq!(page.matches("aria-invalid").count(), 1);

        let page = shown(
            &[("192.0.2.1", true), ("192.0.2.2", true)],
            Some(("allowed_ips[1].cidr", "Is not right.")),
        );
        let (before, after) = page.split_once("Is not right.").unwrap();
        assert!(
            before.contains("192.0.2.2") && !after.contains("aria-invalid=\"true\""),
            "{page}"
        );
        assert!(shown(&[], Some(("allowed_ips", "Too many."))).starts_with("<p class=\"error\""));
    }

    #[test]
    fn typed_html_is_shown_as_text() {
        let page = shown(&[("<script>", true)], None);
        assert!(
            !page.contains("<script>") && page.contains("&lt;script&gt;"),
            "{page}"
        );
    }
}
