//! The rule that a request gets: precedence, hosts, methods, ambiguity, and the number of steps.

use super::*;
use crate::route::{PathSpec, RuleSpec};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn spec(path: PathSpec) -> RuleSpec {
    RuleSpec {
        host: None,
        methods: None,
        path,
        public: false,
        service: None,
        permission: None,
        subaccount: None,
    }
}

fn exact(path: &str) -> RuleSpec {
    spec(PathSpec::Exact(path.into()))
}

fn prefix(path: &str) -> RuleSpec {
    spec(PathSpec::Prefix(path.into()))
}

fn template(path: &str) -> RuleSpec {
    spec(PathSpec::Template(path.into()))
}

fn on(host: &str, rule: RuleSpec) -> RuleSpec {
    RuleSpec {
        host: Some(host.into()),
        ..rule
    }
}

fn by(methods: &[&str], rule: RuleSpec) -> RuleSpec {
    RuleSpec {
        methods: Some(methods.iter().map(|&method| method.to_owned()).collect()),
        ..rule
    }
}

fn record(rules: impl IntoIterator<Item = RuleSpec>, unmatched: Unmatched) -> RouteRules {
    let rules = rules
        .into_iter()
        .map(|rule| Rule::new(rule).unwrap())
        .collect();
    RouteRules::with_path_case(PathCase::Distinct, rules, unmatched).unwrap()
}

fn routes(rules: impl IntoIterator<Item = RuleSpec>) -> Routes {
    Routes::compile(&record(rules, Unmatched::ValidKey))
}

fn target<'t>(host: &'t str, method: &'t str, path: &'t str) -> Target<'t> {
    Target {
        host: host.as_bytes(),
        method: method.as_bytes(),
        path: path.as_bytes(),
    }
}

/// Returns the number of the rule that a request gets; 0 if none matches.
fn number(routes: &Routes, target: Target<'_>) -> Option<usize> {
    match routes.find(&target) {
        Match::Rule(route) => Some(route.number),
        Match::Unmatched(_) => Some(0),
        Match::Ambiguous | Match::Disputed { .. } => None,
    }
}

#[track_caller]
fn assert_paths(routes: &Routes, expected: &[(&str, usize)]) {
    for (path, rule) in expected {
        assert_eq!(
            number(routes, target("h", "GET", path)),
            Some(*rule),
            "{path}"
        );
    }
}

#[test]
fn exact_path_matches_itself_only() {
    let routes = routes([
        exact("/v4/zones"),
        exact("/"),
        exact("/caf%C3%A9/a b".replace(' ', "%20").as_str()),
    ]);
    assert_paths(
        &routes,
        &[
            ("/v4/zones", 1),
            ("/v4/zones/", 1),
            ("/v4/zones?a=/b", 1),
            ("/v4/zones/?", 1),
            ("/v4/%7Aones", 1),
            ("/v4/zones/7", 0),
            ("/v4", 0),
            ("/V4/zones", 0),
            ("/v4/zonesx", 0),
            ("/", 2),
            ("/?", 2),
            ("/café/a%20b", 3),
            ("/caf%c3%A9/%61%20b", 3),
        ],
    );
}

#[test]
fn a_prefix_is_of_whole_segments() {
    let routes = routes([prefix("/v4/zones/"), prefix("/v4")]);
    assert_paths(
        &routes,
        &[
            ("/v4/zones", 1),
            ("/v4/zones/", 1),
            ("/v4/zones/7/records", 1),
            ("/v4/zonesx", 2),
            ("/v4/zone", 2),
            ("/v4", 2),
            ("/v4x", 0),
            ("/", 0),
        ],
    );
    assert_paths(
        &self::routes([prefix("/")]),
        &[("/", 1), ("/a", 1), ("/a/b/?c", 1)],
    );
}

#[test]
fn a_parameter_is_exactly_one_segment() {
    let routes = routes([template("/v4/{zone}/records/{id}"), template("/{a}")]);
    assert_paths(
        &routes,
        &[
            ("/v4/7/records/8", 1),
            ("/v4/%7bzone%7d/records/8/", 1),
            ("/v4/7/records", 0),
            ("/v4/7/records/8/9", 0),
            ("/v4/7/8/records/9", 0),
            ("/v4", 2),
            ("/v4/", 2),
            ("/", 0),
        ],
    );
}

#[test]
fn first_matching_rule_wins() {
    let rules = [
        template("/a/{x}/c"),
        exact("/a/b/c"),
        exact("/a/b/d"),
        prefix("/a/b"),
        template("/a/b/{y}"),
        prefix("/a"),
        template("/{x}/b/d"),
    ];
    assert_paths(
        &routes(rules.clone()),
        &[
            ("/a/b/c", 1),
            ("/a/b/d", 3),
            ("/a/b/e", 4),
            ("/a/b", 4),
            ("/a/c/e", 6),
            ("/z/b/d", 7),
            ("/z", 0),
        ],
    );
    let reversed = routes(rules.into_iter().rev());
    assert_paths(
        &reversed,
        &[
            ("/a/b/c", 2),
            ("/a/b/d", 1),
            ("/a/b/e", 2),
            ("/a/b", 2),
            ("/z/b/d", 1),
            ("/z", 0),
        ],
    );
}

#[test]
fn rule_of_another_method_is_skipped() {
    let rules = [
        by(&["GET", "HEAD"], exact("/a")),
        by(&["POST"], exact("/a")),
        by(&["GET", "PUT"], prefix("/")),
    ];
    let routes = routes(rules);
    for (method, path, rule) in [
        ("GET", "/a", 1),
        ("HEAD", "/a", 1),
        ("POST", "/a", 2),
        ("PUT", "/a", 3),
        ("GET", "/b", 3),
        ("DELETE", "/a", 0),
    ] {
        assert_eq!(
            number(&routes, target("h", method, path)),
            Some(rule),
            "{method} {path}"
        );
    }
}

/// The method matters only where rules name methods.
#[test]
fn method_with_two_readings_is_ambiguous() {
    let by_method = routes([by(&["DELETE"], exact("/a")), exact("/")]);
    let by_path = routes([exact("/a")]);
    for method in ["delete", "Delete", "", "A B", "a"] {
        assert_eq!(
            number(&by_method, target("h", method, "/a")),
            None,
            "{method}"
        );
        assert_eq!(
            number(&by_method, target("h", method, "/")),
            None,
            "{method}"
        );
        assert_eq!(
            number(&by_path, target("h", method, "/a")),
            Some(1),
            "{method}"
        );
    }
    assert!(by_method.reads_method() && !by_path.reads_method() && !by_method.reads_host());
}

/// The first matching rule wins, whichever kind of host it names.
#[test]
fn hosts_match_exactly_or_by_suffix() {
    let routes = routes([
        on("*.example.com", exact("/a")),
        on("api.example.com", prefix("/")),
        on("*.Example.com", prefix("/b")),
        prefix("/b"),
        on("*.com", prefix("/")),
    ]);
    for (host, path, rule) in [
        ("api.example.com", "/a", 1),
        ("API.EXAMPLE.COM:8443", "/a", 1),
        ("api.example.com.", "/b", 2),
        ("x.y.example.com", "/a", 1),
        ("x.y.example.com", "/b", 3),
        ("example.com", "/a", 5),
        ("example.com", "/b", 4),
        ("notexample.com", "/a", 5),
        ("com", "/a", 0),
        ("api.example.com.evil.org", "/a", 0),
        ("localhost:80", "/b", 4),
        ("[::1]:80", "/b", 4),
    ] {
        assert_eq!(
            number(&routes, target(host, "GET", path)),
            Some(rule),
            "{host}{path}"
        );
    }
}

/// Rules that name no host match all the same.
#[test]
fn unreadable_host_is_ambiguous() {
    let (with, without) = (
        routes([on("a.com", prefix("/")), prefix("/")]),
        routes([prefix("/")]),
    );
    for host in [
        "",
        "a.com:80:80",
        "x@a.com",
        "a.com,b.com",
        "a%2ecom",
        "a..com",
    ] {
        assert_eq!(
            with.find(&target(host, "GET", "/")),
            Match::Ambiguous,
            "{host}"
        );
        assert_eq!(
            number(&without, target(host, "GET", "/")),
            Some(1),
            "{host}"
        );
    }
}

/// A public rule is no exception.
#[test]
fn ambiguous_path_matches_no_rule() {
    let public = RuleSpec {
        public: true,
        ..prefix("/")
    };
    for unmatched in [Unmatched::ValidKey, Unmatched::Deny] {
        let routes = Routes::compile(&record([public.clone()], unmatched));
        for path in [
            "",
            "*",
            "a",
            "//",
            "/a//b",
            "/a/../b",
            "/%2e",
            "/a%2fb",
            "/a;b",
            "/%00",
            "/%zz",
            "http://h/",
        ] {
            assert_eq!(
                routes.find(&target("h", "GET", path)),
                Match::Ambiguous,
                "{path}"
            );
        }
    }
}

#[test]
fn without_rules_nothing_is_looked_at() {
    let none = Routes::compile(&RouteRules::default());
    assert!(none.is_empty());
    assert_eq!(
        none.find(&target("", "", "//")),
        Match::Unmatched(Unmatched::ValidKey)
    );
    let deny = Routes::compile(&record([], Unmatched::Deny));
    assert!(!deny.is_empty());
    assert_eq!(
        deny.find(&target("h", "GET", "/")),
        Match::Unmatched(Unmatched::Deny)
    );
    assert!(!routes([exact("/a")]).is_empty());
}

#[test]
fn shared_names_are_stored_once() {
    let dns = |rule| RuleSpec {
        service: Some("dns".into()),
        permission: Some("dns:read".into()),
        ..rule
    };
    let cdn = RuleSpec {
        service: Some("cdn".into()),
        permission: Some("dns:read".into()),
        ..exact("/c")
    };
    let place = |place, rule| RuleSpec {
        subaccount: Some(place),
        ..rule
    };
    let routes = routes([
        dns(exact("/a")),
        cdn,
        place(
            SubaccountLocationSpec::Path("z".into()),
            dns(template("/zones/{y}/{z}")),
        ),
        place(SubaccountLocationSpec::Header("X-Sub".into()), exact("/h")),
        RuleSpec {
            public: true,
            ..exact("/p")
        },
        place(SubaccountLocationSpec::Query("sub".into()), exact("/q")),
    ]);
    assert_eq!(routes.services(), ["dns".into(), "cdn".into()]);
    assert_eq!(
        routes.permissions(),
        [Permission::parse("dns:read").unwrap()]
    );
    let key = |service, permission, subaccount| Access::Key {
        service,
        permission,
        subaccount,
    };
    for (path, access) in [
        ("/a", key(Some(0), Some(0), None)),
        ("/c", key(Some(1), Some(0), None)),
        (
            "/zones/1/2",
            key(Some(0), Some(0), Some(SubaccountLocation::Path(2))),
        ),
        (
            "/h",
            key(None, None, Some(SubaccountLocation::Header("x-sub".into()))),
        ),
        ("/p", Access::Public),
        (
            "/q",
            key(None, None, Some(SubaccountLocation::Query("sub".into()))),
        ),
    ] {
        let Match::Rule(route) = routes.find(&target("h", "GET", path)) else {
            panic!("{path}")
        };
        assert_eq!(route.access, access, "{path}");
    }
}

/// Returns the steps of a search in an API's paths, for some services with ten rules each.
fn steps(services: usize, hosts: bool) -> usize {
    let rules = (0..services).flat_map(|service| {
        let rule = move |rule: RuleSpec| {
            if hosts {
                on(&format!("s{service}.example.com"), rule)
            } else {
                rule
            }
        };
        let path = move |rest: &str| format!("/v1/service{service}/{rest}");
        let items = (0..8).map(move |item| rule(template(&path(&format!("{{id}}/item{item}")))));
        items.chain([
            rule(by(&["POST"], exact(&path("new")))),
            rule(prefix(&path(""))),
        ])
    });
    let routes = routes(rules);
    let worst = (0..services).flat_map(|service| {
        ["7/item7", "7/item7/x", "7/none", "new", "", "a/b/c/d"]
            .map(|rest| format!("/v1/service{service}/{rest}"))
    });
    let worst = worst.map(|path| {
        let mut search = Search::new(b"GET");
        let host = path.replace("/v1/service", "s");
        let host = format!("{}.example.com", host.split('/').next().unwrap());
        let segments = Path::read(path.as_bytes()).unwrap().segments();
        routes
            .hosts
            .search(&target(&host, "GET", &path), segments, &mut search)
            .unwrap();
        assert!(search.found.is_some(), "{path}");
        search.steps
    });
    worst.max().unwrap()
}

#[test]
fn lookup_cost_hardly_grows_with_rules() {
    for hosts in [false, true] {
        let (few, many) = (steps(1, hosts), steps(100, hosts));
        // A hundred times the rules are seven more halvings.
        assert!(many <= few + 8, "{few} for 10 rules, {many} for 1,000");
    }
}

/// Checks the rules that requests get with each [`PathCase`]: refuse, ignore, distinct; 0 if no
/// rule matches, `None` if the request is disputed.
#[track_caller]
fn assert_cases(rules: &[RuleSpec], unmatched: Unmatched, expected: &[(&str, [Option<usize>; 3])]) {
    for (path, expected) in expected {
        let found = [PathCase::Refuse, PathCase::Ignore, PathCase::Distinct].map(|path_case| {
            let rules = rules
                .iter()
                .map(|rule| Rule::new(rule.clone()).unwrap())
                .collect();
            let routes =
                Routes::compile(&RouteRules::with_path_case(path_case, rules, unmatched).unwrap());
            number(&routes, target("h", "GET", path))
        });
        assert_eq!(found, *expected, "{path}");
    }
}

fn needs(permission: &str, rule: RuleSpec) -> RuleSpec {
    RuleSpec {
        permission: Some(permission.into()),
        ..rule
    }
}

#[test]
fn path_resembling_a_guarded_one_is_disputed() {
    let rules = [
        RuleSpec {
            public: true,
            ..exact("/health")
        },
        needs("zones:read", prefix("/v4/zones")),
        needs("caf:read", exact("/caf%C3%A9")),
        prefix("/plain"),
    ];
    let all = |number| [Some(number); 3];
    assert_cases(
        &rules,
        Unmatched::ValidKey,
        &[
            ("/health", all(1)),
            ("/Health", [None, Some(1), Some(0)]),
            ("/health.", [None, None, Some(0)]),
            ("/HEALTH%20", [None, None, Some(0)]),
            ("/v4/zones/Abc", all(2)),
            ("/v4/zones/abc.", all(2)),
            ("/V4/zones", [None, Some(2), Some(0)]),
            ("/v4/Zones/7", [None, Some(2), Some(0)]),
            ("/v4/%5Aones", [None, Some(2), Some(0)]),
            ("/v4/zones.", [None, None, Some(0)]),
            ("/v4./zones", [None, None, Some(0)]),
            ("/v4/zones%20", [None, None, Some(0)]),
            ("/v4/zones%e2%80%8b", [None, None, Some(0)]),
            ("/v4/zones%C2%A0/7", [None, None, Some(0)]),
            ("/.../v4/zones", [None, None, Some(0)]),
            ("/CAF%C3%89", [None, Some(3), Some(0)]),
            // These are different letters, which no upstream takes for the rules' by ignoring case.
            ("/v4%ef%bc%8fzones", all(0)),
            ("/\u{ff48}ealth", all(0)),
            ("/Elsewhere.", all(0)),
            // This rule has the same requirements as a request that no rule matches.
            ("/Plain", [Some(0), Some(4), Some(0)]),
        ],
    );
    assert_cases(
        &rules,
        Unmatched::Deny,
        &[
            ("/plain", all(4)),
            ("/Plain", [None, Some(4), Some(0)]),
            ("/Elsewhere.", all(0)),
        ],
    );
}

#[test]
fn capitals_match_their_own_spelling() {
    let public = |path| RuleSpec {
        public: true,
        ..exact(path)
    };
    let rules = [
        needs("a:read", exact("/Users/Me")),
        public("/users/all"),
        needs("b:read", template("/users/{id}")),
        RuleSpec {
            subaccount: Some(SubaccountLocationSpec::Path("id".into())),
            ..template("/Zones/{id}")
        },
    ];
    assert_cases(
        &rules,
        Unmatched::ValidKey,
        &[
            ("/Users/Me", [Some(1), Some(1), Some(1)]),
            ("/users/me", [None, Some(1), Some(3)]),
            ("/users/Me", [None, Some(1), Some(3)]),
            ("/users/all", [Some(2); 3]),
            ("/users/All", [None, Some(2), Some(3)]),
            ("/users/Abc", [Some(3); 3]),
            ("/zones/Abc", [None, Some(4), Some(0)]),
            ("/Zones/Abc", [Some(4); 3]),
        ],
    );
}

#[test]
fn equal_requirements_are_not_disputed() {
    let place = |name: &str, rule| RuleSpec {
        subaccount: Some(SubaccountLocationSpec::Path(name.into())),
        ..rule
    };
    for (one, two, disputed) in [
        (exact("/a/x"), prefix("/A"), false),
        (
            RuleSpec {
                public: true,
                ..exact("/a/x")
            },
            RuleSpec {
                public: true,
                ..prefix("/A")
            },
            false,
        ),
        (
            RuleSpec {
                public: true,
                ..exact("/a/x")
            },
            prefix("/A"),
            true,
        ),
        (
            needs("a:read", exact("/a/x")),
            needs("a:read", prefix("/A")),
            false,
        ),
        (
            needs("a:read", exact("/a/x")),
            needs("b:read", prefix("/A")),
            true,
        ),
        (
            RuleSpec {
                service: Some("dns".into()),
                ..exact("/a/x")
            },
            prefix("/A"),
            true,
        ),
        (
            place("p", template("/a/{p}/{q}")),
            place("q", template("/A/{q}/x")),
            false,
        ),
        (
            place("p", template("/a/{p}/{q}")),
            place("q", template("/A/x/{q}")),
            true,
        ),
    ] {
        let path = if one.subaccount.is_some() {
            "/A/x/x"
        } else {
            "/A/x"
        };
        let rules = [one, two];
        let valid = rules.clone().map(|rule| Rule::new(rule).unwrap()).into();
        let routes = Routes::compile(&RouteRules::new(valid, Unmatched::ValidKey).unwrap());
        assert_eq!(
            number(&routes, target("h", "GET", path)),
            (!disputed).then_some(2),
            "{rules:?}"
        );
    }
}

#[test]
fn rule_for_get_covers_head() {
    let routes = routes([
        by(&["GET"], exact("/a")),
        by(&["HEAD"], prefix("/")),
        by(&["GET", "HEAD"], exact("/b")),
    ]);
    for (method, path, rule) in [
        ("GET", "/a", 1),
        ("HEAD", "/a", 1),
        ("HEAD", "/b", 2),
        ("GET", "/b", 3),
        ("PUT", "/a", 0),
    ] {
        assert_eq!(
            number(&routes, target("h", method, path)),
            Some(rule),
            "{method} {path}"
        );
    }
}
