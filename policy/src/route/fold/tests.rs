//! Segments that are taken for the same, and segments that are not.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn is(raw: &str, fold: Fold, text: &str) -> bool {
    Folded::new(raw.as_bytes(), fold).is_some_and(|folded| folded.compare(text).is_eq())
}

#[test]
fn letter_case_is_folded_beyond_ascii() {
    for (raw, text) in [
        ("admin", "admin"),
        ("ADMIN", "admin"),
        ("%41dmin", "admin"),
        ("É", "é"),
        ("%C3%89", "é"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("σίσυφος", "σίσυφοσ"),
        ("\u{212a}ey", "key"),
        ("\u{17f}", "s"),
        ("\u{1e9e}", "ß"),
        ("ǅ", "ǆ"),
        ("Ꭰ", "\u{ab70}"),
        ("\u{10400}", "\u{10428}"),
        ("\u{130}ı", "ii"),
        ("\u{1fd3}", "\u{390}"),
    ] {
        for fold in [Fold::Case, Fold::CaseAndEnd] {
            assert!(is(raw, fold, text), "{raw}");
            assert_eq!(
                literal(text, fold).as_deref(),
                Some(text),
                "a folded literal stays as it is"
            );
        }
    }
    for (raw, text) in [
        ("ß", "ss"),
        ("ＡＤＭＩＮ", "admin"),
        ("é", "e"),
        ("e\u{301}", "é"),
    ] {
        assert!(!is(raw, Fold::CaseAndEnd, text), "{raw}");
    }
}

#[test]
fn trailing_dots_and_blanks_are_ignored() {
    for end in [
        ".",
        "..",
        "%2e",
        "%20",
        ". .",
        "%20%20.",
        "%C2%A0",
        "\u{a0}",
        "%e2%80%8b",
        "\u{200b}",
        "\u{3000}",
        "\u{feff}",
        "\u{2028}",
        "\u{2060}",
        "\u{ff0e}",
        "\u{3002}",
    ] {
        let raw = format!("Zones{end}");
        assert!(is(&raw, Fold::CaseAndEnd, "zones"), "{raw:?}");
        assert!(!is(&raw, Fold::Case, "zones"), "{raw:?}");
        assert!(
            !is(&format!("{end}zones"), Fold::CaseAndEnd, "zones"),
            "{end:?} before"
        );
        assert!(
            Folded::new(end.as_bytes(), Fold::CaseAndEnd).is_none(),
            "{end:?} alone"
        );
    }
    for raw in [
        "zones-",
        "zones+",
        "zones_",
        "zones\u{301}",
        "zones\u{ff0f}",
        "zones%25",
    ] {
        assert!(!is(raw, Fold::CaseAndEnd, "zones"), "{raw:?}");
    }
    assert!(is("v1.Zip", Fold::CaseAndEnd, "v1.zip") && is("v1.Zip", Fold::Case, "v1.zip"));
}

/// A folded segment does not change when it is folded again. A segment meets a literal exactly when
/// both are the same once folded.
#[test]
fn every_character_is_folded_once() {
    for character in (0x20..=0x10_ffff).filter_map(char::from_u32) {
        let once = folded(character);
        assert_eq!(folded(once), once, "{character:?}");
        let lower = only(character.to_lowercase());
        assert!(
            lower.is_none_or(|lower| folded(lower) == once),
            "{character:?}"
        );
        let upper = only(character.to_uppercase());
        assert!(
            upper.is_none_or(|upper| folded(upper) == once),
            "{character:?}"
        );
    }
}

#[test]
fn folded_segments_keep_literal_order() {
    let literals = ["", "a", "aa", "b", "é", "éa", "ｚ", "\u{10428}"];
    for (at, raw) in ["A", "Aa.", "B%20", "É", "%c3%89A", "Ｚ", "\u{10400}"]
        .into_iter()
        .enumerate()
    {
        let segment = Folded::new(raw.as_bytes(), Fold::CaseAndEnd).unwrap();
        for (other, literal) in literals.into_iter().enumerate() {
            assert_eq!(
                segment.compare(literal),
                (at + 1).cmp(&other),
                "{raw} and {literal}"
            );
        }
    }
}
