//! Finds loosened restrictions: requests that become public or need less under the new route rules.
//! Uses the filter's own code for requests of each rule's path, so every kind of change is found: a
//! removed rule, another order, fewer methods.

use latchkey_policy::route::{
    Match, PathSpec, RouteRules, Routes, SubaccountLocationSpec, Target, Unmatched,
};
use std::collections::BTreeMap;

/// A path segment and a label of a host that no rule contains.
const ANY: &str = "any-other-1f0e";

/// A method that no rule contains.
const OTHER_METHOD: &str = "OTHER";

/// Methods that are tested in addition to those of the rules.
const METHODS: [&str; 3] = ["GET", "POST", OTHER_METHOD];

/// The maximum number of hosts that are tested for rules of any host, in addition to one that no
/// rule contains.
const HOSTS: usize = 20;

/// The requirements of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    Refused,
    Key(Vec<(&'static str, String)>),
    Public,
}

/// Describes each kind of request that needs less by the rules `after` than by those `before`.
pub(super) fn requests(before: &RouteRules, after: &RouteRules) -> Vec<String> {
    let compiled = [before, after].map(|record| (Routes::compile(record), record));
    let methods = methods([before, after]);
    let mut found = BTreeMap::<(String, String, String), Vec<&str>>::new();
    for (host, path) in places([before, after]) {
        for method in &methods {
            let target = Target {
                host: host.as_bytes(),
                method: method.as_bytes(),
                path: path.as_bytes(),
            };
            let [was, is] =
                [&compiled[0], &compiled[1]].map(|(routes, record)| need(routes, record, &target));
            if let Some(change) = less(&was, &is) {
                found
                    .entry((path.clone(), host.clone(), change))
                    .or_default()
                    .push(method);
            }
        }
    }

    let descriptions = found.into_iter().map(|((path, host, change), matched)| {
        let matched = if matched.len() == methods.len() {
            "any method".to_owned()
        } else {
            listed(&matched)
        };
        let host = if host.contains(ANY) {
            String::new()
        } else {
            format!(" of {host}")
        };
        format!("{}{host} ({matched}) {change}", path.replace(ANY, "…"))
    });
    descriptions.collect()
}

fn listed(methods: &[&str]) -> String {
    let names = methods.iter().map(|method| match *method {
        OTHER_METHOD => "others",
        method => method,
    });
    names.collect::<Vec<_>>().join(", ")
}

fn methods(records: [&RouteRules; 2]) -> Vec<&str> {
    let named = records
        .into_iter()
        .flat_map(RouteRules::rules)
        .filter_map(|rule| rule.spec().methods.as_ref())
        .flatten();
    let mut methods: Vec<_> = named.map(String::as_str).chain(METHODS).collect();
    methods.sort_unstable();
    methods.dedup();
    methods
}

/// Returns hosts and paths of requests: at least one for each rule, and one that no rule matches.
fn places(records: [&RouteRules; 2]) -> Vec<(String, String)> {
    let rules = || {
        records
            .into_iter()
            .flat_map(RouteRules::rules)
            .map(|rule| rule.spec())
    };
    let mut hosts: Vec<_> = rules()
        .filter_map(|rule| rule.host.as_deref())
        .map(of_host)
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts.truncate(HOSTS);
    hosts.push(format!("{ANY}.test"));
    let other_case = records[0].path_case() != records[1].path_case();
    let mut places = Vec::new();
    let none = PathSpec::Prefix("/".to_owned());

    for (host, path) in rules()
        .map(|rule| (rule.host.as_deref(), &rule.path))
        .chain([(None, &none)])
    {
        let hosts = host.map_or_else(|| hosts.clone(), |host| vec![of_host(host)]);
        for path in of_path(path) {
            let spelled = other_case.then(|| path.to_ascii_uppercase());
            for path in [path].into_iter().chain(spelled) {
                places.extend(hosts.iter().map(|host| (host.clone(), path.clone())));
            }
        }
    }
    places.sort_unstable();
    places.dedup();

    places
}

fn of_host(host: &str) -> String {
    host.strip_prefix("*.")
        .map_or_else(|| host.to_owned(), |above| format!("{ANY}.{above}"))
}

fn of_path(path: &PathSpec) -> Vec<String> {
    match path {
        PathSpec::Exact(path) => vec![path.clone()],
        PathSpec::Prefix(path) => vec![
            path.clone(),
            format!("{}/{ANY}", path.trim_end_matches('/')),
        ],
        PathSpec::Template(path) => {
            let segment = |segment: &str| {
                if segment.starts_with('{') {
                    ANY.to_owned()
                } else {
                    segment.to_owned()
                }
            };
            vec![path.split('/').map(segment).collect::<Vec<_>>().join("/")]
        }
    }
}

fn need(routes: &Routes, record: &RouteRules, target: &Target<'_>) -> Need {
    let rule = match routes.find(target) {
        Match::Rule(route) => route
            .number
            .checked_sub(1)
            .and_then(|index| record.rules().get(index)),
        Match::Unmatched(Unmatched::ValidKey) => return Need::Key(Vec::new()),
        Match::Unmatched(Unmatched::Deny) | Match::Ambiguous | Match::Disputed { .. } => {
            return Need::Refused;
        }
    };
    let Some(spec) = rule.map(|rule| rule.spec()) else {
        return Need::Refused;
    };

    if spec.public {
        return Need::Public;
    }

    let place = spec.subaccount.as_ref().map(|place| match place {
        SubaccountLocationSpec::Header(name) => format!("in the header {name}"),
        SubaccountLocationSpec::Path(name) => format!("in the path as {name}"),
        SubaccountLocationSpec::Query(name) => format!("in the query as {name}"),
    });
    let needs = [
        ("service", spec.service.clone()),
        ("permission", spec.permission.clone()),
        ("subaccount", place),
    ];
    Need::Key(
        needs
            .into_iter()
            .filter_map(|(kind, what)| Some((kind, what?)))
            .collect(),
    )
}

/// Describes how the requirements of a request are lower than before, or different; `None` if every
/// request that passes now also passed before.
fn less(was: &Need, is: &Need) -> Option<String> {
    match (was, is) {
        (Need::Public, _) | (_, Need::Refused) => None,
        (_, Need::Public) => Some("becomes public".to_owned()),
        (Need::Refused, Need::Key(needs)) => {
            Some(format!("was refused and now needs {}", described(needs)))
        }
        (Need::Key(before), Need::Key(after)) => {
            let lost: Vec<_> = before
                .iter()
                .filter(|need| !after.contains(need))
                .cloned()
                .collect();
            let now: Vec<_> = after
                .iter()
                .filter(|need| !before.contains(need))
                .cloned()
                .collect();
            match (lost.is_empty(), now.is_empty()) {
                (true, _) => None,
                (false, true) => Some(format!("no longer needs {}", described(&lost))),
                (false, false) => Some(format!(
                    "needs {} instead of {}",
                    described(&now),
                    described(&lost)
                )),
            }
        }
    }
}

fn described(needs: &[(&'static str, String)]) -> String {
    match needs {
        [] => "any valid key".to_owned(),
        needs => needs
            .iter()
            .map(|(kind, what)| format!("the {kind} {what}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_model::json;
    use latchkey_model::route_document::RouteDocument;

    fn record(yaml: &str) -> RouteRules {
        let value: serde_json::Value = crate::document::parse(yaml).unwrap();
        json::read::<RouteDocument>(value.to_string().as_bytes())
            .unwrap()
            .check()
            .unwrap()
    }

    fn wider(before: &str, after: &str) -> Vec<String> {
        requests(&record(before), &record(after))
    }

    const GUARDED: &str = "{unmatched: valid_key, rules: [{path: {exact: /health}, public: true}, \
         {path: {prefix: /admin}, permission: 'admin:write'}, {path: {prefix: /v1}, methods: [GET], permission: 'v1:read'}]}";

    #[test]
    fn identical_rules_are_not_wider() {
        assert_eq!(wider(GUARDED, GUARDED), [""; 0]);
    }

    #[test]
    fn requests_that_become_public_are_named() {
        let after = "{rules: [{path: {prefix: /}, public: true}]}";
        let found = wider(GUARDED, after);
        for place in [
            "/ (any method)",
            "/… (any method)",
            "/admin (any method)",
            "/admin/… (any method)",
            "/v1 (any method)",
        ] {
            assert!(
                found.contains(&format!("{place} becomes public")),
                "{place} is not in {found:?}"
            );
        }
    }

    #[test]
    fn removed_guarding_rules_are_reported() {
        let after = "{rules: [{path: {exact: /health}, public: true}, {path: {prefix: /v1}, methods: [GET], permission: 'v1:read'}]}";
        let lost = "no longer needs the permission admin:write";
        assert_eq!(
            wider(GUARDED, after),
            [
                format!("/admin (any method) {lost}"),
                format!("/admin/… (any method) {lost}")
            ]
        );
    }

    /// Compares the order, methods, prefixes and permissions of rules.
    #[test]
    fn rules_are_compared_by_their_effect() {
        for (rules, expected) in [
            // Fewer methods require a permission.
            (
                "{path: {prefix: /admin}, methods: [POST], permission: 'admin:write'}",
                "/admin (GET, others) no longer needs",
            ),
            // The rule no longer covers paths below it.
            (
                "{path: {exact: /admin}, permission: 'admin:write'}",
                "/admin/… (any method) no longer needs",
            ),
            (
                "{path: {prefix: /admin}, permission: 'admin:read'}",
                "/admin (any method) needs the permission admin:read instead of",
            ),
            (
                "{path: {prefix: /admin}}",
                "/admin (any method) no longer needs the permission admin:write",
            ),
            (
                "{path: {exact: /admin/a}, public: true}, {path: {prefix: /admin}, permission: 'admin:write'}",
                "/admin/a (any method) becomes public",
            ),
        ] {
            let before = "{rules: [{path: {prefix: /admin}, permission: 'admin:write'}]}";
            let found = wider(before, &format!("{{rules: [{rules}]}}"));
            assert!(
                found.iter().any(|line| line.starts_with(expected)),
                "{expected} is not in {found:?}"
            );
            assert!(
                wider(&format!("{{rules: [{rules}]}}"), before)
                    .iter()
                    .all(|line| line.contains("instead")),
                "{rules}"
            );
        }

        let swapped =
            "{rules: [{path: {prefix: /}, public: true}, {path: {exact: /a}, permission: 'a:b'}]}";
        let before =
            "{rules: [{path: {exact: /a}, permission: 'a:b'}, {path: {prefix: /}, public: true}]}";
        assert_eq!(wider(before, swapped), ["/a (any method) becomes public"]);
    }

    #[test]
    fn hosts_services_and_subaccounts_are_compared() {
        let (deny, key) = (
            "{unmatched: deny, rules: []}",
            "{unmatched: valid_key, rules: []}",
        );
        assert_eq!(
            wider(deny, key),
            [
                "/ (any method) was refused and now needs any valid key",
                "/… (any method) was refused and now needs any valid key"
            ]
        );
        assert_eq!(wider(key, deny), [""; 0]);
        let one = "{rules: [{host: a.test, path: {exact: /x}, service: dns, subaccount: {header: x-sub}}]}";
        let other = "{rules: [{host: b.test, path: {exact: /x}, service: dns}]}";
        let found = wider(one, other);
        assert_eq!(
            found,
            [
                "/x of a.test (any method) no longer needs the service dns, the subaccount in the header x-sub"
            ]
        );
    }

    #[test]
    fn changed_path_case_compares_spellings() {
        let rules = "rules: [{path: {prefix: /admin}, permission: 'a:b'}]";
        let found = wider(
            &format!("{{path_case: refuse, {rules}}}"),
            &format!("{{path_case: distinct, {rules}}}"),
        );
        assert!(
            found.iter().any(|line| line
                .starts_with("/ADMIN (any method) was refused and now needs any valid key")),
            "{found:?}"
        );
    }
}
