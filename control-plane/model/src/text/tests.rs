//! Tests of every character, and of real names.

use super::*;

#[test]
fn international_names_are_accepted() {
    for text in [
        "CI",
        "Prod – Köln (2)",
        "می\u{200c}خواهم",
        "क्\u{200d}ष",
        "র\u{200d}্যাব",
        "葛\u{e0100}城市",
        "Алиса",
        "가격",
        "مرحبا",
        "⚠\u{fe0f} old",
        "👍🏽",
        "a\u{a0}b",
        "key_of_prod",
        "keys_1",
        "sub-1",
        "=SUM(A1)",
    ] {
        assert_eq!(name(text).as_deref(), Ok(text), "{}", escaped(text));
    }
}

#[test]
fn names_are_normalized_before_comparison() {
    assert_eq!(name("  Cafe\u{301} \n").as_deref(), Ok("Caf\u{e9}"));
    assert_eq!(name("\u{1112}\u{1161}\u{11ab}").as_deref(), Ok("\u{d55c}"));
    assert_eq!(name("\u{212b}"), name("A\u{30a}"));
    assert_eq!(
        email(" JOSE\u{301}@Example.com ").as_deref(),
        Ok("jos\u{e9}@example.com")
    );

    // In lower case this letter is two characters. Composed with the mark after it, it is one
    // again.
    assert_eq!(
        email("\u{130}\u{301}@a.b"),
        email(&normalized_email("\u{130}\u{301}@a.b"))
    );
    assert!(name(&"e\u{301}".repeat(100)).is_ok());
    assert_eq!(
        name(&"x".repeat(101)).unwrap_err(),
        "must have 1 to 100 characters"
    );
    assert_eq!(
        name(" \u{3000} ").unwrap_err(),
        "must have 1 to 100 characters"
    );
}

#[test]
fn invisible_characters_are_refused() {
    for hidden in [
        "\u{200b}",
        "\u{200e}",
        "\u{202e}",
        "\u{2066}",
        "\u{2060}",
        "\u{feff}",
        "\u{ad}",
        "\u{61c}",
        "\u{2028}",
        "\u{2029}",
        "\u{0}",
        "\u{1b}",
        "\u{85}",
        "\u{e0041}",
        "\u{fff9}",
        "\u{34f}",
        "\u{115f}",
        "\u{3164}",
        "\u{ffa0}",
        "\u{fe0f}",
        "\u{e0100}",
        "\u{180b}",
        "\u{2800}",
        "\u{e000}",
        "\u{10fffd}",
        "\u{fdd0}",
        "\u{ffff}",
        "\u{1d173}",
        "\u{17b4}",
        "\u{200d}\u{200d}",
    ] {
        let texts = [
            format!("Pro{hidden}d"),
            format!("{hidden}Prod"),
            format!("Prod{hidden}"),
        ];
        // At an end of the text, a line break counts as a blank.
        let blank = hidden.trim().is_empty();
        for text in texts.iter().take(if blank { 1 } else { 3 }) {
            assert!(name(text).is_err(), "{}", escaped(text));
            assert!(
                email(&format!("{text}@example.com")).is_err() || text.trim() != text,
                "{}",
                escaped(text)
            );
        }
        assert!(description(&texts[0]).is_err(), "{}", escaped(&texts[0]));
    }

    for edge in [
        "\u{200d}Prod",
        "Prod\u{200c}",
        "a \u{200d}b",
        "1\u{200c}2",
        "👩\u{200d}💻",
        "क\u{200d}",
    ] {
        assert!(
            name(edge).unwrap_err().contains("format characters"),
            "{}",
            escaped(edge)
        );
    }

    assert_eq!(
        name("a\u{202e}b").unwrap_err(),
        "must not have format characters, such as U+202E here"
    );
}

#[test]
fn names_like_ids_are_refused() {
    for kind in ID_KINDS {
        assert!(
            name(&format!("{kind}_0")).is_err() && name(&random_id(kind)).is_err(),
            "{kind}"
        );
    }
    assert!(name("key_").is_ok() && name("KEY_1").is_ok() && name("a key_1").is_ok());
}

fn random_id(kind: &'static str) -> String {
    crate::random::id(kind).unwrap()
}

#[test]
fn descriptions_allow_only_line_breaks() {
    assert_eq!(description("a\r\n\tb\n").as_deref(), Ok("a\n\tb\n"));
    for text in [
        "a\rb",
        "a\u{1b}[31mb",
        "a\u{0}",
        "a\u{b}b",
        "\u{7f}",
        "a\u{202e}b",
    ] {
        assert!(description(text).is_err(), "{}", escaped(text));
    }

    assert_eq!(
        description(&"é".repeat(501)).unwrap_err(),
        "must have at most 500 characters"
    );
}

#[test]
fn control_and_format_characters_are_escaped() {
    for c in '\u{0}'..=char::MAX {
        let group = c.general_category_group();
        let refused = group == GeneralCategoryGroup::Other
            || matches!(
                c.general_category(),
                GeneralCategory::LineSeparator | GeneralCategory::ParagraphSeparator
            );
        if refused {
            let text = format!("1{c}2");
            assert!(name(&text).is_err(), "{}", escaped(&text));
            let shown = escaped(&text);
            assert!(
                !shown.contains(c) && faults(&shown).all(|(_, fault)| fault.is_none()),
                "{shown}"
            );
        }
        let stored = name(&format!("a{c}b"));
        if let Ok(stored) = stored {
            assert_eq!(
                name(&stored).as_deref(),
                Ok(stored.as_str()),
                "stored names are stored again as they are"
            );
        }
    }
}

#[test]
fn old_texts_are_shown_with_escapes() {
    assert_eq!(escaped("\u{202e}gpj.exe\n"), "\\u{202e}gpj.exe\\n");
    assert_eq!(escaped_lines("a\u{7}\n\tb"), "a\\u{7}\n\tb");
    assert_eq!(escaped("می\u{200c}خواهم é 例"), "می\u{200c}خواهم é 例");
    assert!(matches!(escaped("plain"), Cow::Borrowed(_)));
}
