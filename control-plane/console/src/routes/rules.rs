//! Shows the rules as a table.

use latchkey_model::route_document::{AffectedRule, RouteDocument, affected_rules};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use crate::widgets::{badge, nothing};

/// The parts of the API's document that pages show.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Document {
    rules: Vec<Rule>,
    unmatched: String,
    path_case: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rule {
    host: Option<String>,
    methods: Option<Vec<String>>,
    path: Path,
    public: bool,
    service: Option<String>,
    permission: Option<String>,
    subaccount: Option<Place>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Path {
    exact: Option<String>,
    prefix: Option<String>,
    template: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Place {
    header: Option<String>,
    path: Option<String>,
    query: Option<String>,
}

pub(super) fn table(document: &Value) -> Markup {
    let Ok(Document {
        rules,
        unmatched,
        path_case,
    }) = Document::deserialize(document)
    else {
        return html! { p .error role="alert" { "The rules cannot be shown as a table." } };
    };
    let rest = match unmatched.as_str() {
        "deny" => html! { (badge("bad", "denied")) },
        _ => html! { "any valid key" },
    };
    if rules.is_empty() {
        return nothing(
            "There are no rules yet.",
            &html! { p { "Every request needs: " (rest) "." } },
        );
    }
    let affected = affected(document);
    let of = |number| {
        affected
            .iter()
            .find(|affected| u64::try_from(affected.rule) == Ok(number))
    };
    html! {
        p { (in_another_case(&path_case)) }
        div .wide tabindex="0" role="region" aria-label="Route rules" {
            table {
                thead { tr {
                    th .number scope="col" { "Rule" }
                    th scope="col" { "Methods" }
                    th scope="col" { "Host" }
                    th scope="col" { "Path" }
                    th scope="col" { "Needs" }
                    th scope="col" { "Subaccount from" }
                } }
                tbody {
                    @for (number, rule) in (1_u64..).zip(&rules) { (rule.row(number, of(number))) }
                    tr {
                        td .number { span aria-hidden="true" { "–" } }
                        th scope="row" colspan="3" { "All other requests" }
                        td { (rest) }
                        td {}
                    }
                }
            }
        }
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

impl Rule {
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
                    (self.path.shown())
                    @if let Some(AffectedRule { conflicts_with, .. }) = affected {
                        div {
                            (badge("warn", "affected")) " in another letter case, this is "
                            a href={ "#rule-" (conflicts_with) } { "rule " (conflicts_with) }
                        }
                    }
                }
                td { (self.needs()) }
                td { @match &self.subaccount {
                    Some(place) => (place.shown()),
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

impl Path {
    fn shown(&self) -> Markup {
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

impl Place {
    fn shown(&self) -> Markup {
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
