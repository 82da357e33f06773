//! The search of keys: for a text anywhere in the name, the description or the masked secret, or at
//! the beginning of the id. ASCII letters match in upper and lower case, except in the id.
//!
//! The table `keys_search` indexes the keys by each sequence of three characters. Keys with all the
//! sequences of the text are found by it, and then tested for the text itself. For a text of fewer
//! than three characters there is only the test.

use crate::condition::Condition;
use crate::page::pattern;

/// The maximum number of sequences of three characters that are looked up. More would hardly reduce
/// the number of keys.
const MAX_PARTS: usize = 16;

/// A suffix that sorts after every text with the same prefix.
const END: char = char::MAX;

/// Returns the condition that a key contains `text`.
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

/// Selects a column `number` of all keys that may contain `text`, of all accounts. Returns `None`
/// if the text cannot be looked up.
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

/// Returns the FTS5 query for all parts of the text.
fn trigrams(text: &str) -> Option<String> {
    // FTS5 ends a query at this character.
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
