//! The affected rules: requests in their own spelling are refused.

use super::*;
use crate::route::{Match, PathSpec, Routes, RuleSpec, Target, Unmatched};
use std::num::NonZeroU16;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn rule(path: PathSpec, permission: Option<&str>) -> RuleSpec {
    let permission = permission.map(str::to_owned);
    RuleSpec {
        host: None,
        methods: None,
        path,
        public: permission.is_none(),
        service: None,
        permission,
        subaccount: None,
    }
}

fn public(path: &str) -> RuleSpec {
    rule(PathSpec::Exact(path.into()), None)
}

fn guarded(path: &str) -> RuleSpec {
    rule(PathSpec::Prefix(path.into()), Some("admin:read"))
}

fn template(path: &str) -> RuleSpec {
    rule(PathSpec::Template(path.into()), None)
}

fn on(host: &str, rule: RuleSpec) -> RuleSpec {
    RuleSpec {
        host: Some(host.into()),
        ..rule
    }
}

fn by(method: &str, rule: RuleSpec) -> RuleSpec {
    RuleSpec {
        methods: Some(vec![method.into()]),
        ..rule
    }
}

fn record(path_case: PathCase, rules: &[RuleSpec]) -> RouteRules {
    let rules = rules
        .iter()
        .map(|rule| Rule::new(rule.clone()).unwrap())
        .collect();
    RouteRules::with_path_case(path_case, rules, Unmatched::ValidKey).unwrap()
}

#[test]
fn rules_shadowed_by_case_are_affected() {
    for (earlier, later) in [
        (guarded("/admin"), public("/Admin/login")),
        (guarded("/admin"), public("/admin./login")),
        (guarded("/admin"), public("/admin%20/login")),
        (guarded("/Admin"), public("/admin/login")),
        (public("/Admin/login"), guarded("/admin")),
        (guarded("/caf%C3%A9"), public("/caf%C3%89/menu")),
        (template("/{x}/Admin"), guarded("/a/admin")),
        (on("a.com", guarded("/admin")), public("/Admin/login")),
        (
            on("*.a.com", guarded("/admin")),
            on("b.a.com", public("/Admin/login")),
        ),
        (
            on("*.a.com", guarded("/admin")),
            on("*.b.a.com", public("/Admin/login")),
        ),
        (
            by("GET", guarded("/admin")),
            by("HEAD", public("/Admin/login")),
        ),
    ] {
        let other = public("/other");
        let rules = [other, earlier.clone(), later.clone()];
        for path_case in [PathCase::Refuse, PathCase::Ignore] {
            let affected = record(path_case, &rules).affected_by_path_case();
            assert_eq!(
                affected,
                [Affected { rule: 3, by: 2 }],
                "{earlier:?} {later:?}"
            );
        }
        assert_eq!(
            record(PathCase::Distinct, &rules).affected_by_path_case(),
            []
        );
    }
}

#[test]
fn rules_without_an_earlier_match_are_unaffected() {
    for (earlier, later) in [
        (guarded("/admin"), public("/admin/login")),
        (
            guarded("/admin"),
            rule(PathSpec::Exact("/Admin/login".into()), Some("admin:read")),
        ),
        (guarded("/admin"), public("/Administrator")),
        (guarded("/admin"), template("/{x}/Login")),
        (guarded("/admin/users"), public("/Admin")),
        (
            by("POST", guarded("/admin")),
            by("GET", public("/Admin/login")),
        ),
        (
            on("a.com", guarded("/admin")),
            on("b.com", public("/Admin/login")),
        ),
        (
            on("*.a.com", guarded("/admin")),
            on("a.com", public("/Admin/login")),
        ),
    ] {
        let affected =
            record(PathCase::Refuse, &[earlier.clone(), later.clone()]).affected_by_path_case();
        assert_eq!(affected, [], "{earlier:?} {later:?}");
    }
}

#[test]
fn affected_rule_is_refused_as_spelled() {
    let rules = [guarded("/admin"), public("/Admin/Login")];
    let find = |path_case, path: &str| {
        let routes = Routes::compile(&record(path_case, &rules));
        match routes.find(&Target {
            host: b"h",
            method: b"GET",
            path: path.as_bytes(),
        }) {
            Match::Rule(route) => Ok(route.number),
            found => Err(found
                == Match::Disputed {
                    written: NonZeroU16::new(2),
                    folded: NonZeroU16::new(1),
                }),
        }
    };
    assert_eq!(find(PathCase::Refuse, "/Admin/Login"), Err(true));
    assert_eq!(find(PathCase::Ignore, "/Admin/Login"), Ok(1));
    assert_eq!(find(PathCase::Distinct, "/Admin/Login"), Ok(2));
}
