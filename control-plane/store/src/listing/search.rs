//! The search of keys: a text somewhere in the name, the description or the masked secret, or at
//! the beginning of the id. Letters of ASCII are found in upper and lower case, except in the id.
//!
//! `keys_search` knows which keys have which three characters in a row. Keys that have all of those
//! of the text are found by it, and then tested for the text itself. A text of fewer than three
//! characters is only tested for.

use crate::condition::Condition;
use crate::page::pattern;

/// Characters in a row that are looked up at most. More would hardly make the keys fewer.
const MAX_PARTS: usize = 16;

/// Behind every text that begins with another one.
const END: char = char::MAX;

/// Holds for keys that have `text`.
pub(super) fn test(text: &str) -> Condition {
    let pattern = pattern(text);
    let like = Condition::new("(keys.name LIKE ")
        .text(pattern.clone())
        .sql(" ESCAPE '\\' OR description LIKE ");
    let like = like
        .text(pattern.clone())
        .sql(" ESCAPE '\\' OR masked LIKE ")
        .text(pattern)
        .sql(" ESCAPE '\\' OR ");
    in_id(like, text).sql(")")
}

/// Selects a column `number` of all keys that may have `text`, of all accounts; none if that cannot
/// be looked up.
pub(super) fn numbers(text: &str) -> Option<Condition> {
    let query = trigrams(text)?;
    let found = Condition::new("SELECT rowid AS number FROM keys_search WHERE keys_search MATCH ")
        .text(query);
    Some(in_id(
        found.sql(" UNION ALL SELECT seq AS number FROM keys WHERE "),
        text,
    ))
}

fn in_id(condition: Condition, text: &str) -> Condition {
    condition
        .sql("(id >= ")
        .text(text)
        .sql(" AND id < ")
        .text(format!("{text}{END}"))
        .sql(")")
}

/// What FTS5 is asked for: all parts of the text.
fn trigrams(text: &str) -> Option<String> {
    // FTS5 reads a query up to this character.
    if text.contains('\0') {
        return None;
    }
    let characters: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    for part in characters.windows(3).take(MAX_PARTS) {
        let part: String = part.iter().collect();
        parts.push(format!("\"{}\"", part.replace('"', "\"\"")));
    }
    (!parts.is_empty()).then(|| parts.join(" AND "))
}

#[cfg(test)]
mod tests {
    use super::trigrams;

    #[test]
    fn search_text_is_quoted_in_parts() {
        for (text, expected) in [
            ("ab", None),
            ("abc\0", None),
            ("abc", Some(r#""abc""#)),
            (
                r#"a"b OR"#,
                Some(r#""a""b" AND """b " AND "b O" AND " OR""#),
            ),
            ("äöü*", Some(r#""äöü" AND "öü*""#)),
        ] {
            assert_eq!(trigrams(text).as_deref(), expected, "{text}");
        }
    }
}
