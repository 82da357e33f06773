//! The conditions for a valid rule, field by field.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn spec() -> RuleSpec {
    RuleSpec {
        host: None,
        methods: None,
        path: PathSpec::Template("/zones/{zone}".into()),
        public: false,
        service: None,
        permission: None,
        subaccount: None,
    }
}

fn words(words: &[&str]) -> Option<Vec<String>> {
    Some(words.iter().map(|&word| word.to_owned()).collect())
}

/// Returns the fields that are wrong, in their order.
fn faults(spec: RuleSpec) -> Vec<&'static str> {
    Rule::new(spec)
        .err()
        .unwrap_or_default()
        .iter()
        .map(|error| error.field)
        .collect()
}

#[track_caller]
fn assert_path(path: PathSpec, reason: &str) {
    let errors = Rule::new(RuleSpec {
        path: path.clone(),
        ..spec()
    })
    .unwrap_err();
    let [error] = errors.as_slice() else {
        panic!("{errors:?}")
    };
    assert_eq!(error.field, path.field());
    assert!(
        error.reason.starts_with(reason),
        "{path:?}: {}",
        error.reason
    );
}

fn segments(path: PathSpec) -> Vec<Segment> {
    Rule::new(RuleSpec { path, ..spec() }).unwrap().segments
}

fn literals<const N: usize>(texts: [&str; N]) -> [Segment; N] {
    texts.map(|text| Segment::Literal(text.into()))
}

/// Normalizes case only where it has no meaning.
#[test]
fn rule_is_kept_except_case() {
    let written = RuleSpec {
        host: Some("*.Example.com".into()),
        methods: words(&["POST", "GET"]),
        path: PathSpec::Template("/caf%C3%A9/{zone}/".into()),
        public: false,
        service: Some("dns".into()),
        permission: Some("dns:write".into()),
        subaccount: Some(SubaccountLocationSpec::Header("X-Sub".into())),
    };
    let rule = Rule::new(written.clone()).unwrap();
    let kept = RuleSpec {
        host: Some("*.example.com".into()),
        subaccount: Some(SubaccountLocationSpec::Header("x-sub".into())),
        ..written
    };
    assert_eq!(rule.spec(), &kept);
    assert_eq!(Rule::new(kept).unwrap(), rule);
}

#[test]
fn every_error_names_its_field() {
    let wrong = RuleSpec {
        host: Some("a:80".into()),
        methods: words(&[]),
        path: PathSpec::Prefix("zones".into()),
        public: true,
        service: Some("DNS".into()),
        permission: Some("dns".into()),
        subaccount: Some(SubaccountLocationSpec::Query(String::new())),
    };
    let expected = [
        "host",
        "methods",
        "path.prefix",
        "service",
        "permission",
        "subaccount",
        "service",
        "permission",
        "subaccount.query",
    ];
    assert_eq!(faults(wrong), expected);
    assert_eq!(
        faults(RuleSpec {
            public: true,
            ..spec()
        }),
        [""; 0]
    );
}

#[test]
fn error_texts_begin_with_their_field() {
    let errors = Rule::new(RuleSpec {
        service: Some(String::new()),
        ..spec()
    })
    .unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "service: must be of a-z, 0-9, _ and -, 1 to 64 characters"
    );
}

#[test]
fn methods_are_unique_tokens_in_capitals() {
    for good in [
        &["GET"][..],
        &["GET", "HEAD"],
        &["M-SEARCH", "A.B!"],
        &["X".repeat(64).as_str()],
    ] {
        assert_eq!(
            faults(RuleSpec {
                methods: words(good),
                ..spec()
            }),
            [""; 0],
            "{good:?}"
        );
    }
    for bad in [
        &[][..],
        &[""],
        &["GET "],
        &["GET,PUT"],
        &["A/B"],
        &["é"],
        &["GET", "get"],
        &["A", "B", "A"],
        &["X".repeat(65).as_str()],
    ] {
        assert_eq!(
            faults(RuleSpec {
                methods: words(bad),
                ..spec()
            }),
            ["methods"],
            "{bad:?}"
        );
    }
}

#[test]
fn services_and_permissions_are_validated() {
    for (service, good) in [
        ("dns", true),
        ("a_b-1", true),
        ("", false),
        ("Dns", false),
        ("a b", false),
        ("a:b", false),
    ] {
        assert_eq!(
            Rule::new(RuleSpec {
                service: Some(service.into()),
                ..spec()
            })
            .is_ok(),
            good,
            "{service}"
        );
    }
    assert_eq!(
        faults(RuleSpec {
            service: Some("a".repeat(65)),
            ..spec()
        }),
        ["service"]
    );
    for (permission, good) in [
        ("dns:read", true),
        ("a:b:c", true),
        ("dns", false),
        ("dns:*", false),
        ("", false),
    ] {
        assert_eq!(
            Rule::new(RuleSpec {
                permission: Some(permission.into()),
                ..spec()
            })
            .is_ok(),
            good,
            "{permission}"
        );
    }
}

#[test]
fn subaccount_is_named_where_requests_can() {
    let faults = |place| {
        faults(RuleSpec {
            subaccount: Some(place),
            ..spec()
        })
    };
    for name in ["x-sub", "X-SUB", "a!"] {
        assert_eq!(
            faults(SubaccountLocationSpec::Header(name.into())),
            [""; 0],
            "{name}"
        );
    }
    for name in ["", ":path", "x sub", "x-süb", "a,b", &"x".repeat(129)] {
        assert_eq!(
            faults(SubaccountLocationSpec::Header(name.into())),
            ["subaccount.header"],
            "{name}"
        );
    }
    assert_eq!(faults(SubaccountLocationSpec::Path("zone".into())), [""; 0]);
    for name in ["", "zones", "Zone", "{zone}"] {
        assert_eq!(
            faults(SubaccountLocationSpec::Path(name.into())),
            ["subaccount.path"],
            "{name}"
        );
    }
    for name in ["sub", "süb", "sub[id]"] {
        assert_eq!(
            faults(SubaccountLocationSpec::Query(name.into())),
            [""; 0],
            "{name}"
        );
    }
    for name in [
        "",
        "a&b",
        "a=b",
        "a;b",
        "a#b",
        "s%75b",
        "a+b",
        "a b",
        "a\n",
        &"x".repeat(129),
    ] {
        assert_eq!(
            faults(SubaccountLocationSpec::Query(name.into())),
            ["subaccount.query"],
            "{name}"
        );
    }
}

#[test]
fn only_a_template_has_parameters() {
    let path = PathSpec::Exact("/zones/zone".into());
    let place = Some(SubaccountLocationSpec::Path("zone".into()));
    assert_eq!(
        faults(RuleSpec {
            path,
            subaccount: place.clone(),
            ..spec()
        }),
        ["subaccount.path"]
    );
    // There is no error for a name if the path itself could not be read.
    let path = PathSpec::Template("zones/{zone}".into());
    assert_eq!(
        faults(RuleSpec {
            path,
            subaccount: place,
            ..spec()
        }),
        ["path.template"]
    );
}

#[test]
fn rule_paths_read_like_requests() {
    assert_eq!(segments(PathSpec::Exact("/".into())), []);
    assert_eq!(
        segments(PathSpec::Exact("/caf%C3%A9/%7bx%7D/".into())),
        literals(["café", "{x}"])
    );
    assert_eq!(
        segments(PathSpec::Prefix("/café".into())),
        literals(["café"])
    );
    for (path, because) in [
        ("a", Ambiguity::Relative),
        ("/a//b", Ambiguity::EmptySegment),
        ("/a/../b", Ambiguity::DotSegment),
        ("/a%2fb", Ambiguity::Separator),
        ("/a;b", Ambiguity::Semicolon),
        ("/%00", Ambiguity::Control),
        ("/#", Ambiguity::Delimiter),
        ("/a b", Ambiguity::Blank),
        ("/%zz", Ambiguity::Escape),
        ("/%ff", Ambiguity::Encoding),
        ("/%2541", Ambiguity::EscapedTwice),
    ] {
        for spec in [PathSpec::Exact, PathSpec::Prefix, PathSpec::Template] {
            assert_path(spec(path.into()), &because.to_string());
        }
    }
    assert_path(PathSpec::Exact("/a?b".into()), "has a `?`");
}

#[test]
fn paths_are_bounded() {
    let (most, long) = ("/a".repeat(32), "a".repeat(1023));
    assert_eq!(segments(PathSpec::Exact(most.clone())).len(), 32);
    assert_eq!(segments(PathSpec::Exact(format!("{most}/"))).len(), 32);
    assert_path(
        PathSpec::Exact(format!("{most}/a")),
        "must have at most 32 segments",
    );
    assert_eq!(segments(PathSpec::Exact(format!("/{long}"))).len(), 1);
    assert_path(
        PathSpec::Exact(format!("/{long}a")),
        "must have at most 1024 bytes",
    );
}

#[test]
fn parameter_is_a_whole_template_segment() {
    let parameter = |name: &str| Segment::Parameter(name.into());
    let [a, b] = literals(["a", "b"]);
    assert_eq!(
        segments(PathSpec::Template("/{x}/a/{y_2}/b".into())),
        [parameter("x"), a, parameter("y_2"), b],
    );
    let braces = "has a `{` or `}`";
    for path in ["/a{x}", "/{x}a", "/{x", "/x}", "/{", "/}", "/a{", "/{x}/b}"] {
        assert_path(PathSpec::Template(path.into()), braces);
    }
    for path in ["/{x}", "/a/{x}/b", "/{"] {
        assert_path(PathSpec::Exact(path.into()), braces);
        assert_path(PathSpec::Prefix(path.into()), braces);
    }
    let long = "x".repeat(65);
    for name in ["", "X", "a-b", "a b", "{x}", "é", "%61", &long] {
        let errors = Rule::new(RuleSpec {
            path: PathSpec::Template(format!("/{{{name}}}")),
            ..spec()
        })
        .unwrap_err();
        assert_eq!(errors[0].field, "path.template", "{name}");
    }
    assert_path(
        PathSpec::Template("/{x}/{y}/{x}".into()),
        "has two parameters of the same name",
    );
}
