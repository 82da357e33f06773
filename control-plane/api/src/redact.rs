//! Removes keys and session tokens from error texts, because clients may log responses.

/// The shortest secret part: a key's. A session token's is longer.
const SECRET_LEN: usize = 32;

/// Returns `text` without anything that has the form of a key or a session token, with any prefix
/// and checksum.
pub(crate) fn redacted(text: &str) -> String {
    let of_a_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) =
            rest.split_at(rest.find(|letter| !of_a_word(letter)).unwrap_or(rest.len()));
        clean.push_str(if is_secret(word) { "[redacted]" } else { word });
        let (between, next) = after.split_at(after.find(of_a_word).unwrap_or(after.len()));
        clean.push_str(between);
        rest = next;
    }
    clean
}

fn is_secret(word: &str) -> bool {
    let Some((kind, secret)) = word.rsplit_once('_') else {
        return false;
    };
    secret.len() >= SECRET_LEN
        && ["lks", "_live", "_test"]
            .iter()
            .any(|end| kind.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_like_a_secret_is_redacted() {
        let secret = "Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4f";
        for (text, expected) in [
            (
                format!("`lk_live_{secret}` is no role"),
                "`[redacted]` is no role",
            ),
            (
                format!("limits.vg_test_{secret}: is unknown"),
                "limits.[redacted]: is unknown",
            ),
            (format!("\"lks_{secret}12345678901\""), "\"[redacted]\""),
            (format!("äöü lk_live_{secret}"), "äöü [redacted]"),
        ] {
            assert_eq!(redacted(&text), expected);
        }
        for harmless in [
            "Field `name` is missing.",
            "lk_live_Ab3d...x9Qz",
            "key_abc123def456",
            "",
            "…",
            secret,
        ] {
            assert_eq!(redacted(harmless), harmless);
        }
    }
}
