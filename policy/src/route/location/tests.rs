//! The subaccounts that requests name, and values that are not clear enough.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Returns the named subaccount, if it is clear; an empty text if there is none.
fn clear(named: Named<'_>) -> Option<String> {
    match named {
        Named::None => Some(String::new()),
        Named::One(text) => Some(text.to_string()),
        Named::Unclear => None,
    }
}

fn at(place: &SubaccountLocation, path: &str, header: Option<&str>) -> Option<String> {
    let target = Target {
        host: b"h",
        method: b"GET",
        path: path.as_bytes(),
    };
    clear(place.named(&target, header.map(str::as_bytes)))
}

#[test]
fn a_header_has_one_visible_value() {
    let place = SubaccountLocation::Header("x-sub".into());
    for (value, said) in [
        (None, Some("")),
        (Some("sub_1"), Some("sub_1")),
        (Some("sub%5f1+"), Some("sub%5f1+")),
        (Some(""), None),
        (Some("a,b"), None),
        (Some("a,a"), None),
        (Some("a, a"), None),
        (Some("a,"), None),
        (Some(","), None),
        (Some(" a"), None),
        (Some("a b"), None),
        (Some("a\t"), None),
        (Some("a\0"), None),
        (Some("é"), None),
    ] {
        assert_eq!(
            at(&place, "/a?x-sub=b", value).as_deref(),
            said,
            "{value:?}"
        );
    }
}

#[test]
fn path_segment_is_read_unescaped() {
    for (path, said) in [
        ("/zones/sub_1/records", Some("sub_1")),
        ("/zones/s%75b%5F1/", Some("sub_1")),
        ("/zones/a+b?zone=c", Some("a+b")),
        ("/zones", None),
        ("/zones/", None),
        ("/zones//sub_1", None),
        ("/zones/a%2fb", None),
    ] {
        assert_eq!(
            at(&SubaccountLocation::Path(1), path, Some("other")).as_deref(),
            said,
            "{path}"
        );
    }
    assert_eq!(at(&SubaccountLocation::Path(usize::MAX), "/a", None), None);
}

#[test]
fn query_parameter_must_occur_once() {
    for (path, said) in [
        ("/a", Some("")),
        ("/a?", Some("")),
        ("/a?x=1&subs=2&s.ub=3&xsub=4&su=5", Some("")),
        ("/sub=a", Some("")),
        ("/a?sub=sub_1", Some("sub_1")),
        ("/a?x=sub&sub=sub_1&y", Some("sub_1")),
        ("/a?s%75b=sub%5F1", Some("sub_1")),
        ("/a?sub=a=b", Some("a=b")),
        ("/a?sub=a?b", Some("a?b")),
        ("/a?sub=a+b", Some("a b")),
        ("/a?sub=a&sub=b", None),
        ("/a?sub=a&sub=a", None),
        ("/a?sub=a&%73ub=b", None),
        ("/a?sub=a&sub", None),
        ("/a?sub", None),
        ("/a?sub=", None),
        ("/a?sub=%zz", None),
        ("/a?sub=a%", None),
    ] {
        assert_eq!(
            at(
                &SubaccountLocation::Query("sub".into()),
                path,
                Some("other")
            )
            .as_deref(),
            said,
            "{path}"
        );
    }
}

#[test]
fn parameter_with_two_readings_is_unclear() {
    for (path, said) in [
        ("/a?sub=a;b", Some("a;b")),
        ("/a?x=1;y=2&sub=a", Some("a")),
        ("/a?x=1%3bsub=b&sub=a", Some("a")),
        ("/a?x=1#y", Some("")),
        ("/a?sub=a&SUB=b", None),
        ("/a?sub=a&+sub=b", None),
        ("/a?sub=a&%20sub%20=b", None),
        ("/a?sub=a&sub%00x=b", None),
        ("/a?sub=a&sub[]=b", None),
        ("/a?sub%5b0]=b", None),
        ("/a?Sub=b", None),
        ("/a?x=1;sub=b", None),
        ("/a?sub;x=b", None),
        ("/a?sub;=b", None),
        ("/a?x=1;%73ub=b", None),
        ("/a?sub=a;sub=b", None),
        ("/a?sub=a&x=1;sub=b", None),
        ("/a?x=1;sub=b&sub=a", None),
        ("/a?x=1#&sub=a", None),
        ("/a?sub=a#b", None),
        ("/a?x#sub=a", None),
    ] {
        assert_eq!(
            at(&SubaccountLocation::Query("sub".into()), path, None).as_deref(),
            said,
            "{path}"
        );
    }
}

#[test]
fn dots_may_read_as_underscores() {
    for (path, said) in [
        ("/a?sub_id=a", Some("a")),
        ("/a?sub.id=a", None),
        ("/a?sub+id=a", None),
        ("/a?sub_id=a&sub.id=b", None),
        ("/a?sub-id=a", Some("")),
    ] {
        assert_eq!(
            at(&SubaccountLocation::Query("sub_id".into()), path, None).as_deref(),
            said,
            "{path}"
        );
    }
    assert_eq!(
        at(
            &SubaccountLocation::Query("sub[id]".into()),
            "/a?sub[id]=a",
            None
        )
        .as_deref(),
        Some("a")
    );
}
