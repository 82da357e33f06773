//! Documents of rules.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn rule(host: Option<&str>, methods: Option<&[&str]>, path: PathSpec) -> Rule {
    let methods = methods.map(|methods| methods.iter().map(|&method| method.to_owned()).collect());
    let host = host.map(str::to_owned);
    Rule::new(RuleSpec {
        host,
        methods,
        path,
        public: true,
        service: None,
        permission: None,
        subaccount: None,
    })
    .unwrap()
}

fn exact(path: &str) -> PathSpec {
    PathSpec::Exact(path.into())
}

fn template(path: &str) -> PathSpec {
    PathSpec::Template(path.into())
}

#[test]
fn unreachable_rule_is_refused() {
    let get = |path| rule(None, Some(&["GET", "PUT"]), path);
    let same = [
        (get(exact("/a")), get(exact("/a"))),
        (get(exact("/a")), get(exact("/%61/"))),
        (get(exact("/a")), get(template("/a"))),
        (
            get(exact("/a")),
            rule(None, Some(&["PUT", "GET"]), exact("/a")),
        ),
        (get(template("/{a}/b")), get(template("/{c}/b"))),
        (
            get(PathSpec::Prefix("/a".into())),
            get(PathSpec::Prefix("/a/".into())),
        ),
        (
            rule(Some("a.com"), None, exact("/a")),
            rule(Some("A.com"), None, exact("/a")),
        ),
    ];
    for (first, second) in same {
        let other = get(exact("/other"));
        let (at, error) = RouteRules::new(vec![other, first, second], Unmatched::Deny).unwrap_err();
        assert_eq!((at, error.field), (2, "path"));
        assert_eq!(
            error.reason,
            "is never reached: rule 2 has the same host, methods and path"
        );
    }
}

#[test]
fn rules_with_different_matchers_are_distinct() {
    let rules = vec![
        rule(None, None, exact("/a")),
        rule(None, None, PathSpec::Prefix("/a".into())),
        rule(None, None, exact("/A")),
        rule(None, None, template("/{a}")),
        rule(None, None, exact("/%7ba%7d")),
        rule(None, Some(&["GET"]), exact("/a")),
        rule(None, Some(&["GET", "PUT"]), exact("/a")),
        rule(Some("a.com"), None, exact("/a")),
        rule(Some("*.a.com"), None, exact("/a")),
    ];
    let record =
        RouteRules::with_path_case(PathCase::Distinct, rules.clone(), Unmatched::Deny).unwrap();
    assert_eq!(
        (record.rules(), record.unmatched()),
        (&rules[..], Unmatched::Deny)
    );
    assert_eq!(record.affected_by_path_case(), []);
}

#[test]
fn rules_differing_by_case_need_distinct() {
    for (first, second) in [
        ("/v4/zones", "/V4/Zones"),
        ("/v4/zones", "/v4/zones."),
        ("/v4/zones", "/v4%20/zones"),
        ("/v4/zones", "/v4/zones%e2%80%8b"),
        ("/caf%C3%A9", "/caf%c3%89"),
        ("/{a}/b", "/{c}/B"),
    ] {
        let rules = || {
            vec![
                rule(None, None, template(first)),
                rule(None, None, template(second)),
            ]
        };
        for path_case in [PathCase::Refuse, PathCase::Ignore] {
            let (at, error) =
                RouteRules::with_path_case(path_case, rules(), Unmatched::Deny).unwrap_err();
            assert_eq!((at, error.field), (1, "path"));
            assert_eq!(
                error.reason,
                "differs from that of rule 1 only by letter case, or by dots and spaces at the \
                 end of a segment; set `path_case` to `distinct` to distinguish them"
            );
        }
        assert!(RouteRules::with_path_case(PathCase::Distinct, rules(), Unmatched::Deny).is_ok());
    }
}

#[test]
fn rules_are_at_most_a_thousand() {
    let rules = |count| {
        (0..count)
            .map(|at| rule(None, None, exact(&format!("/{at}"))))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        RouteRules::new(rules(1000), Unmatched::ValidKey)
            .unwrap()
            .rules()
            .len(),
        1000
    );
    let (at, error) = RouteRules::new(rules(1001), Unmatched::ValidKey).unwrap_err();
    assert_eq!(
        (at, error.to_string()),
        (1000, "rules: must be at most 1000".to_owned())
    );
}

#[test]
fn ambiguous_path_has_its_reason() {
    let ambiguity = |path: &'static str| {
        Target {
            host: b"h",
            method: b"GET",
            path: path.as_bytes(),
        }
        .ambiguity()
    };
    assert_eq!(ambiguity("/a/../b"), Some(Ambiguity::DotSegment));
    assert_eq!(ambiguity("/a?/../b"), None);
}
