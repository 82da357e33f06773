//! Shows the rules as a table.

use latchkey_model::route_document::{AffectedRule, RouteDocument, affected_rules};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::widgets::{badge, columns, empty_list, number_columns, wide_table};

/// The parts of the API's document that pages show.
#[derive(Default, Deserialize)]
#[serde(default)]
struct DocumentView {
    rules: Vec<RuleView>,
    unmatched: String,
    path_case: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleView {
    host: Option<String>,
    methods: Option<Vec<String>>,
    path: PathView,
    public: bool,
    service: Option<String>,
    permission: Option<String>,
    subaccount: Option<SubaccountLocation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PathView {
    exact: Option<String>,
    prefix: Option<String>,
    template: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SubaccountLocation {
    header: Option<String>,
    path: Option<String>,
    query: Option<String>,
}

/// Renders the rules of a document.
pub(super) fn table(document: &Value) -> Markup {
    let Ok(DocumentView {
        rules,
        unmatched,
        path_case,
    }) = DocumentView::deserialize(document)
    else {
        return html! { p .error role="alert" { "The rules cannot be shown as a table." } };
    };

    let rest = match unmatched.as_str() {
        "deny" => html! { (badge("bad", "denied")) },
        _ => html! { "any valid key" },
    };
    if rules.is_empty() {
        return empty_list(
            "There are no rules yet.",
            &html! { p { "Every request needs: " (rest) "." } },
        );
    }

    let affected = affected(document);
    let affected_rule = |number| {
        affected
            .iter()
            .find(|affected| u64::try_from(affected.rule) == Ok(number))
    };
    let heads = html! {
        (number_columns(&["Rule"]))
        (columns(&["Methods", "Host", "Path", "Needs", "Subaccount from"]))
    };
    let rows = html! {
        @for (number, rule) in (1_u64..).zip(&rules) { (rule.row(number, affected_rule(number))) }
        tr {
            td .number { span aria-hidden="true" { "–" } }
            th scope="row" colspan="3" { "All other requests" }
            td { (rest) }
            td {}
        }
    };

    html! {
        p { (in_another_case(&path_case)) }
        (wide_table("Route rules", &heads, &rows))
    }
}

/// Describes how rules treat paths that differ from them in letter case.
fn in_another_case(path_case: &str) -> &'static str {
    match path_case {
        "ignore" => "Rules ignore letter case.",
        "distinct" => "Paths in another letter case are different paths.",
        _ => {
            "Requests are refused if another rule would apply when letter case, and dots and \
             spaces at the end of a segment, are ignored."
        }
    }
}

/// Returns the rules that do not apply to requests in their own spelling.
fn affected(document: &Value) -> Vec<AffectedRule> {
    let read = serde_json::from_str::<RouteDocument>(&document.to_string());
    read.ok()
        .and_then(|document| document.check().ok())
        .map_or_else(Vec::new, |routes| affected_rules(&routes))
}

impl RuleView {
    fn row(&self, number: u64, affected: Option<&AffectedRule>) -> Markup {
        html! {
            tr id={ "rule-" (number) } {
                th .number scope="row" { (number) }
                td { @match &self.methods {
                    Some(methods) => { code { (methods.join(", ")) } },
                    None => { span .faint { "any" } },
                } }
                td { @match &self.host {
                    Some(host) => { code { (host) } },
                    None => { span .faint { "any" } },
                } }
                td {
                    (self.path.render())
                    @if let Some(AffectedRule { conflicts_with, .. }) = affected {
                        div {
                            (badge("warn", "affected")) " in another letter case, this is "
                            a href={ "#rule-" (conflicts_with) } { "rule " (conflicts_with) }
                        }
                    }
                }
                td { (self.needs()) }
                td { @match &self.subaccount {
                    Some(location) => (location.render()),
                    None => { span .faint { "none" } },
                } }
            }
        }
    }

    fn needs(&self) -> Markup {
        let Self {
            public,
            service,
            permission,
            ..
        } = self;

        html! {
            @if *public { (badge("warn", "public")) " no key" }
            @else if service.is_none() && permission.is_none() { "a valid key" }
            @else {
                @if let Some(service) = service { div { "service " code { (service) } } }
                @if let Some(permission) = permission { div { "permission " code { (permission) } } }
            }
        }
    }
}

impl PathView {
    fn render(&self) -> Markup {
        let Self {
            exact,
            prefix,
            template,
        } = self;

        html! {
            @if let Some(path) = exact.as_ref().or(template.as_ref()) { code { (path) } }
            @if let Some(path) = prefix { code { (path) } " " span .faint { "and all paths below" } }
        }
    }
}

impl SubaccountLocation {
    fn render(&self) -> Markup {
        let Self {
            header,
            path,
            query,
        } = self;

        html! {
            @if let Some(name) = header { "header " code { (name) } }
            @if let Some(name) = path { "path " code { "{" (name) "}" } }
            @if let Some(name) = query { "query " code { (name) } }
        }
    }
}
