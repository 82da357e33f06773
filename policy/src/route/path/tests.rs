//! The rules of the canonical path, one by one.

use super::*;
use crate::test_util::Random;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn read(path: &[u8]) -> Result<Vec<String>, Ambiguity> {
    Path::read(path).map(|path| path.segments().map(|segment| segment.to_string()).collect())
}

#[track_caller]
fn assert_segments(cases: &[(&str, &[&str])]) {
    for (path, segments) in cases {
        assert_eq!(read(path.as_bytes()).unwrap(), *segments, "{path}");
    }
}

#[track_caller]
fn assert_refused(because: Ambiguity, paths: &[&str]) {
    for path in paths {
        assert_eq!(read(path.as_bytes()), Err(because), "{path:?}");
        assert_eq!(
            read(format!("/a{path}/b").as_bytes()).is_err(),
            path.starts_with('/'),
            "{path:?} further on"
        );
    }
}

#[test]
fn one_trailing_slash_is_ignored() {
    assert_segments(&[
        ("/", &[]),
        ("/a", &["a"]),
        ("/a/", &["a"]),
        ("/a/b", &["a", "b"]),
        ("/a/b/", &["a", "b"]),
    ]);
}

#[test]
fn path_ends_at_the_first_question_mark() {
    assert_segments(&[
        ("/?", &[]),
        ("/a?b", &["a"]),
        ("/a/?/b", &["a"]),
        ("/a?b?c//../;#%zz", &["a"]),
    ]);
}

#[test]
fn decoded_escapes_keep_their_case() {
    assert_segments(&[
        ("/%61", &["a"]),
        ("/%41", &["A"]),
        ("/%c3%a9", &["é"]),
        ("/%C3%A9", &["é"]),
        ("/é", &["é"]),
        ("/\u{fffd}\u{1f511}", &["\u{fffd}\u{1f511}"]),
        ("/a%20b", &["a b"]),
        ("/a+b", &["a+b"]),
        ("/%25", &["%"]),
        ("/100%25", &["100%"]),
        ("/%25zz", &["%zz"]),
        ("/{a}", &["{a}"]),
        ("/a:b@c!$&'()*,=-._~", &["a:b@c!$&'()*,=-._~"]),
    ]);
}

#[test]
fn dots_are_refused_as_whole_segments() {
    assert_segments(&[
        ("/...", &["..."]),
        ("/.a", &[".a"]),
        ("/a.", &["a."]),
        ("/a..b/..c", &["a..b", "..c"]),
    ]);
    assert_refused(
        Ambiguity::DotSegment,
        &[
            "/.",
            "/..",
            "/./",
            "/../a",
            "/%2e",
            "/%2E",
            "/.%2e",
            "/%2e.",
            "/%2e%2E",
            "/a/.",
            "/a/..",
            "/a/%2e%2e/b",
        ],
    );
}

/// An upstream that ignores blanks at the end of a segment, or takes other dots for full stops,
/// reads `.` or `..`.
#[test]
fn dots_beside_blanks_are_refused() {
    for blank in [
        "%20",
        "%c2%a0",
        "%e2%80%8b",
        "%e3%80%80",
        "%ef%bb%bf",
        "%20%20",
    ] {
        for segment in [
            format!("..{blank}"),
            format!(".{blank}"),
            format!("{blank}.."),
            format!(".{blank}."),
            format!("..{blank}."),
            format!("%2e%2e{blank}"),
            format!("...{blank}"),
        ] {
            for path in [
                format!("/public/{segment}/admin"),
                format!("/{segment}"),
                format!("/{segment}?a=b"),
            ] {
                assert_eq!(read(path.as_bytes()), Err(Ambiguity::DotSegment), "{path}");
            }
        }
        assert!(
            read(format!("/a..{blank}/{blank}").as_bytes()).is_ok(),
            "{blank}"
        );
    }
    for dots in [
        "%e2%80%a4",
        "%e3%80%82",
        "%ef%b9%92",
        "%ef%bc%8e",
        "%ef%bd%a1",
    ] {
        assert_refused(
            Ambiguity::DotSegment,
            &[
                &format!("/{dots}{dots}"),
                &format!("/a/.{dots}/b"),
                &format!("/{dots}"),
            ],
        );
    }
    assert_segments(&[("/%2e%2e%2e", &["..."]), ("/....", &["...."])]);
}

#[test]
fn a_path_begins_with_a_slash() {
    for path in ["", "*", "a", "?", "?/", "http://h/a", "%2fa", ".", " /"] {
        assert_eq!(read(path.as_bytes()), Err(Ambiguity::Relative), "{path:?}");
    }
}

#[test]
fn empty_segments_are_refused() {
    assert_refused(
        Ambiguity::EmptySegment,
        &[
            "//", "///", "//a", "/a//", "/a//b", "/a///", "//?", "/a//?b",
        ],
    );
}

#[test]
fn slash_look_alikes_are_refused() {
    assert_refused(
        Ambiguity::Separator,
        &[
            "/a%2fb", "/%2F", "/a%5cb", "/%5C", "/a\\b", "/\\", "/..\\a", "/..%2fa",
        ],
    );
}

#[test]
fn semicolons_are_refused() {
    assert_refused(
        Ambiguity::Semicolon,
        &["/;", "/a;b=c", "/a%3bb", "/%3B", "/..;/a"],
    );
}

#[test]
fn control_characters_are_refused() {
    assert_refused(
        Ambiguity::Control,
        &[
            "/\0", "/a%00", "/a%00b", "/%0a", "/%0D", "/\t", "/%09", "/\x1f", "/%1F", "/\x7f",
            "/%7f", "/%c2%85", "/\u{9f}",
        ],
    );
}

#[test]
fn delimiters_and_blanks_are_refused() {
    assert_refused(
        Ambiguity::Delimiter,
        &["/#", "/a#b", "/#?a", "/%23", "/a%3fb", "/%3F"],
    );
    assert_refused(Ambiguity::Blank, &["/ ", "/a b", "/a /b"]);
}

#[test]
fn invalid_escapes_are_refused() {
    assert_refused(
        Ambiguity::Escape,
        &[
            "/%", "/%4", "/%/41", "/%zz", "/%4g", "/%%41", "/a%", "/%u0041", "/%?41",
        ],
    );
}

#[test]
fn invalid_utf_8_is_refused() {
    // A byte too many, one too few, overlong, a surrogate, beyond the last character.
    let escaped = [
        "/%80",
        "/%c3",
        "/%c3%28",
        "/%c0%af",
        "/%c1%81",
        "/%e0%80%af",
        "/%e2%82",
        "/%ed%a0%80",
    ];
    assert_refused(Ambiguity::Encoding, &escaped);
    assert_refused(
        Ambiguity::Encoding,
        &[
            "/%f4%90%80%80",
            "/%f8%88%80%80%80",
            "/%ff",
            "/%f0%9f%94",
            "/é%a9",
            "/%c3/%a9",
        ],
    );
    for path in [&b"/\xff"[..], b"/\xc3", b"/\xc3%28", b"/\xc0\xaf"] {
        assert_eq!(read(path), Err(Ambiguity::Encoding));
    }
    assert_eq!(
        read(b"/\xc3%a9"),
        Ok(vec!["é".to_owned()]),
        "half escaped is still one character"
    );
}

#[test]
fn double_escapes_are_refused() {
    assert_refused(
        Ambiguity::EscapedTwice,
        &[
            "/%2541",
            "/%252f",
            "/%252e%252e",
            "/%25%34%31",
            "/%254%31",
            "/%252541",
            "/a%25aFb",
        ],
    );
}

#[test]
fn quick_check_agrees_with_the_close_one() {
    let bytes = (0..=u8::MAX).filter(|byte| !b"/".contains(byte));
    for segment in bytes.map(|byte| vec![b'a', byte, b'z']) {
        assert_eq!(
            check(&segment).map(drop),
            check_closely(&segment),
            "{segment:?}"
        );
    }
    let mut random = Random(1);
    for _ in 0..10_000 {
        let segment = random.bytes(5, b"ab.2eE%;~:@!*+,=()'$& \\");
        if !segment.is_empty() {
            assert_eq!(
                check(&segment).map(drop),
                check_closely(&segment),
                "{segment:?}"
            );
        }
    }
}
