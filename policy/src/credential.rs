//! The key that a request presents, found in the places where keys are looked for.
//!
//! Clients also send credentials for other services in these places: a user's token, another
//! provider's key, `undefined`. Beside a key they are ignored. Only a value that
//! [begins like a key](is_ours), or is an imported key, counts as one (`crate::verdict`).
//!
//! Values of a header that was sent more than once are joined by commas (RFC 9110, section 5.3), as
//! a key contains no comma.

use crate::key::KeyFormat;
use crate::percent::Text;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// The bytes of imported keys: shorter ones could be guessed, longer ones are not worth a look-up.
const IMPORTED_LEN: RangeInclusive<usize> = 8..=512;

/// Returns whether `candidate` can be a key that was created in another system: 8 to 512 bytes of
/// visible ASCII. Nothing else about the form of these keys is known.
pub fn may_be_imported(candidate: &[u8]) -> bool {
    IMPORTED_LEN.contains(&candidate.len()) && candidate.iter().all(u8::is_ascii_graphic)
}

/// Words that clients put before a key where only the key belongs.
const WORDS: [&str; 5] = ["Bearer", "Basic", "ApiKey", "Token", "Key"];

/// Returns whether `candidate` begins like our keys, perhaps after a word. Such a value is meant to
/// be a key, and may be copied badly.
pub fn is_ours(candidate: &[u8], keys: &KeyFormat) -> bool {
    keys.resembles(candidate) || word_before_key(candidate, keys).is_some()
}

/// Returns the word before a key that begins like ours: of `Bearer lk_…` in `X-API-Key`, `Bearer`.
pub fn word_before_key(candidate: &[u8], keys: &KeyFormat) -> Option<&'static str> {
    WORDS.into_iter().find(|word| {
        let Some((before, key)) = candidate.split_at_checked(word.len()) else {
            return false;
        };
        let is_apart = key.first().is_some_and(|byte| matches!(byte, b' ' | b'\t'));
        before.eq_ignore_ascii_case(word.as_bytes()) && is_apart && keys.resembles(trim(key))
    })
}

/// Removes a word that stands before the key.
pub fn without_word<'c>(candidate: &'c [u8], keys: &KeyFormat) -> &'c [u8] {
    let word = word_before_key(candidate, keys);
    trim(
        word.and_then(|word| candidate.get(word.len()..))
            .unwrap_or(candidate),
    )
}

/// The most values of one request that are checked. An honest request does not have more.
pub const MAX_CANDIDATES: usize = 16;

/// The values that were found in all places together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    /// No value, or only blanks.
    None,
    /// One value, perhaps more than once.
    One(Cow<'a, [u8]>),
    /// Several different values, each once.
    Several(Vec<Cow<'a, [u8]>>),
    /// More than [`MAX_CANDIDATES`] values.
    TooMany,
}

impl<'a> Presented<'a> {
    /// Collects the values that were found.
    pub fn from_candidates(candidates: impl IntoIterator<Item = Cow<'a, [u8]>>) -> Self {
        let mut candidates = candidates
            .into_iter()
            .filter(|candidate| !candidate.is_empty());
        let Some(first) = candidates.next() else {
            return Self::None;
        };
        let (mut count, mut others) = (1_usize, Vec::new());

        for candidate in candidates {
            count = count.saturating_add(1);
            if count > MAX_CANDIDATES {
                return Self::TooMany;
            }
            if candidate != first && !others.contains(&candidate) {
                others.push(candidate);
            }
        }

        if others.is_empty() {
            return Self::One(first);
        }

        others.insert(0, first);
        Self::Several(others)
    }
}

/// Returns the values of a header without some of those that are separated by commas; `None` if it
/// has none of these. The rest stays the same, byte for byte; headers of one name become one.
pub fn without_elements<'v>(
    values: impl IntoIterator<Item = &'v [u8]>,
    mut is_removed: impl FnMut(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let (mut kept, mut found) = (Vec::new(), false);
    for element in values
        .into_iter()
        .flat_map(|value| value.split(|byte| *byte == b','))
    {
        if is_removed(trim(element)) {
            found = true;
        } else {
            kept.push(element);
        }
    }
    if !found {
        return None;
    }

    // Empty elements mean nothing.
    if kept.iter().all(|element| trim(element).is_empty()) {
        return Some(Vec::new());
    }

    Some(trim(&kept.join(&b',')).to_vec())
}

/// Returns the keys in a header that holds only keys, such as `X-API-Key`.
pub fn in_header(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Returns the bearer tokens in `Authorization` (RFC 6750); the scheme can be in any case.
pub fn in_authorization(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    in_header(value).filter_map(bearer_token)
}

/// Returns the token in one of the values of `Authorization`.
pub fn bearer_token(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("bearer".len())?;
    let delimited = token
        .first()
        .is_none_or(|byte| matches!(byte, b' ' | b'\t'));
    (scheme.eq_ignore_ascii_case(b"bearer") && delimited).then(|| trim(token))
}

/// Returns the values of a query parameter in a path, decoded.
pub fn in_query<'a>(path: &'a [u8], name: &'a str) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let query = split_query(path).1.unwrap_or_default();
    query
        .split(|byte| *byte == b'&')
        .filter_map(move |pair| value_of(pair, name))
}

/// Returns a path without the query parameters of a name whose decoded value is to be removed;
/// `None` if there are none.
pub fn without_query(
    path: &[u8],
    name: &str,
    is_removed: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let (mut kept, query) = (split_query(path).0.to_vec(), split_query(path).1?);
    let mut delimiter = b'?';
    let mut found = false;

    for pair in query.split(|byte| *byte == b'&') {
        if value_of(pair, name).is_some_and(|value| is_removed(&value)) {
            found = true;
        } else {
            kept.push(delimiter);
            kept.extend_from_slice(pair);
            delimiter = b'&';
        }
    }
    found.then_some(kept)
}

/// Returns the values of a cookie (RFC 6265); several `Cookie` headers may be joined by commas or
/// semicolons.
pub fn in_cookies<'a>(value: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    cookies(value).filter_map(move |cookie| cookie_value(cookie, name))
}

/// Returns the header without the cookies of a name whose value is to be removed, which is empty if
/// there are no others; `None` if there are none to remove. The other cookies keep the delimiter
/// before them, as they may contain commas.
pub fn without_cookie(
    value: &[u8],
    name: &str,
    is_removed: impl Fn(&[u8]) -> bool,
) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(value.len());
    let mut found = false;
    let mut rest = value;
    let mut delimiter = &b""[..];

    loop {
        let end = rest
            .iter()
            .position(is_cookie_delimiter)
            .unwrap_or(rest.len());
        let (cookie, behind) = rest.split_at_checked(end)?;
        if cookie_value(trim(cookie), name).is_some_and(&is_removed) {
            found = true;
        } else if kept.is_empty() {
            kept.extend_from_slice(trim(cookie));
        } else {
            kept.extend_from_slice(delimiter);
            kept.extend_from_slice(cookie);
        }
        match behind.split_at_checked(1) {
            Some((next, behind)) => (delimiter, rest) = (next, behind),
            None => return found.then_some(kept),
        }
    }
}

fn is_cookie_delimiter(byte: &u8) -> bool {
    matches!(byte, b';' | b',')
}

fn cookies(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(is_cookie_delimiter).map(trim)
}

fn cookie_value<'a>(cookie: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = trim(trim(cookie.strip_prefix(name.as_bytes())?).strip_prefix(b"=")?);
    Some(
        value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""))
            .unwrap_or(value),
    )
}

/// Splits a path from the query after the first `?`.
pub(crate) fn split_query(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path
        .iter()
        .position(|byte| *byte == b'?')
        .and_then(|at| path.split_at_checked(at))
    {
        Some((path, query)) => (path, query.get(1..)),
        None => (path, None),
    }
}

/// Returns the value of a pair of a query, if the pair's decoded name is `name`.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<Cow<'a, [u8]>> {
    let mut parts = pair.splitn(2, |byte| *byte == b'=');
    let found = parts
        .next()
        .is_some_and(|found| *decoded(found) == *name.as_bytes());
    found.then(|| decoded(parts.next().unwrap_or_default()))
}

/// Decodes percent-encoding and `+`; an invalid escape stays as it is.
fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        Cow::Owned(Text::of_query(text).bytes().collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Removes optional whitespace from both ends (RFC 9110, section 5.6.3).
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn one(key: &[u8]) -> Presented<'_> {
        Presented::One(Cow::Borrowed(key))
    }

    fn header(value: &[u8]) -> Presented<'_> {
        Presented::from_candidates(in_header(value).map(Cow::Borrowed))
    }

    fn authorization(value: &[u8]) -> Presented<'_> {
        Presented::from_candidates(in_authorization(value).map(Cow::Borrowed))
    }

    #[test]
    fn key_is_found_in_either_header() {
        for value in ["k", " k", "k ", "\t k\t "] {
            assert_eq!(header(value.as_bytes()), one(b"k"), "{value:?}");
        }
        for value in ["Bearer k", "bearer k", "BEARER k", "  bEaReR \t k  "] {
            assert_eq!(authorization(value.as_bytes()), one(b"k"), "{value:?}");
        }
    }

    #[test]
    fn blanks_are_no_key() {
        for value in ["", "  ", ",", " , ,"] {
            assert_eq!(header(value.as_bytes()), Presented::None, "{value:?}");
        }
        for value in ["", "Bearer", "Bearer  ", "bearer ,"] {
            assert_eq!(
                authorization(value.as_bytes()),
                Presented::None,
                "{value:?}"
            );
        }
        assert_eq!(
            Presented::from_candidates(in_query(b"/?key=&key", "key")),
            Presented::None
        );
    }

    #[test]
    fn other_schemes_are_ignored() {
        for value in [
            "Basic dXNlcjpwYXNz",
            "Digest username=\"a\", realm=\"b\"",
            "Bearerk",
            "Bear er k",
        ] {
            assert_eq!(in_authorization(value.as_bytes()).count(), 0, "{value:?}");
        }
        assert_eq!(authorization(b"Basic x, Bearer k"), one(b"k"));
    }

    #[test]
    fn repeated_key_is_one() {
        assert_eq!(header(b"k, k"), one(b"k"));
        assert_eq!(authorization(b"Bearer k,bearer  k"), one(b"k"));
        let several =
            |values: [&'static [u8]; 2]| Presented::Several(values.map(Cow::Borrowed).into());
        for two in [&b"k,l"[..], b"k,l,k", b"k, k, l"] {
            assert_eq!(header(two), several([b"k", b"l"]));
        }
        assert_eq!(authorization(b"Bearer k, Bearer l"), several([b"k", b"l"]));
        let places = |query| {
            in_header(b"k")
                .map(Cow::Borrowed)
                .chain(in_query(query, "key"))
        };
        assert_eq!(Presented::from_candidates(places(b"/?key=k")), one(b"k"));
        assert_eq!(
            Presented::from_candidates(places(b"/?key=l")),
            several([b"k", b"l"])
        );
    }

    #[test]
    fn sixteen_header_values_are_read() {
        let of = |count: usize| {
            (0..count)
                .map(|at| at.to_string().into_bytes().into())
                .collect::<Vec<Cow<'_, [u8]>>>()
        };
        assert_eq!(
            Presented::from_candidates(of(16)),
            Presented::Several(of(16))
        );
        assert_eq!(Presented::from_candidates(of(17)), Presented::TooMany);
        assert_eq!(
            header(&b"k,".repeat(17)),
            Presented::TooMany,
            "the same one counts each time"
        );
        assert_eq!(header(&b",".repeat(100)), Presented::None);
    }

    #[test]
    fn key_prefix_is_recognized_behind_a_word() {
        let keys = KeyFormat::default();
        for (candidate, word) in [
            ("Bearer lk_live_x", Some("Bearer")),
            ("bearer \tlk_live_x", Some("Bearer")),
            ("TOKEN lk_", Some("Token")),
            ("ApiKey lk_test_", Some("ApiKey")),
            ("Key lk_x", Some("Key")),
            ("lk_live_x", None),
            ("lk_", None),
        ] {
            assert_eq!(
                word_before_key(candidate.as_bytes(), &keys),
                word,
                "{candidate}"
            );
            assert!(is_ours(candidate.as_bytes(), &keys), "{candidate}");
        }
        for other in [
            "",
            "lk",
            "LK_live_x",
            "sk-proj-8",
            "undefined",
            "eyJhbGciOi.e30.x",
            "Bearer",
            "Bearerlk_x",
            "x lk_x",
        ] {
            assert!(!is_ours(other.as_bytes(), &keys), "{other}");
        }
    }

    #[test]
    fn removed_elements_leave_the_header_unchanged() {
        let without = |values: &[&'static str]| {
            let rest = without_elements(values.iter().map(|value| value.as_bytes()), |element| {
                element == b"k"
            });
            rest.map(|rest| String::from_utf8(rest).unwrap())
        };
        for (values, rest) in [
            (&["k"][..], Some("")),
            (&[" k , k,"], Some("")),
            (&["k, a"], Some("a")),
            (&["a,\tb  ,k,c=\"d, e\""], Some("a,\tb  ,c=\"d, e\"")),
            (&["a", "k", "b ,c"], Some("a,b ,c")),
            (&["a,k", ""], Some("a,")),
            (&["a", "b"], None),
            (&["kk"], None),
            (&[], None),
        ] {
            assert_eq!(without(values).as_deref(), rest, "{values:?}");
        }
    }

    #[test]
    fn bytes_outside_utf_8_are_searched() {
        assert_eq!(header(b"\xff\xfe"), one(b"\xff\xfe"));
        assert_eq!(authorization(b"Bearer \xff"), one(b"\xff"));
    }

    #[test]
    fn imported_key_is_bounded_visible_ascii() {
        for good in [
            "sk-proj8",
            "0b5ec4a2-96a6-4a61-8c3c-3fb8dbe1a4e0",
            "!~!~!~!~",
            &"k".repeat(512),
        ] {
            assert!(may_be_imported(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "sk-proj",
            "sk proj8",
            "sk-proj\t8",
            "sk-proj\u{7f}8",
            "sk-proé8",
            &"k".repeat(513),
        ] {
            assert!(!may_be_imported(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn encoded_query_parameter_is_found() {
        let found = |path: &'static str| in_query(path.as_bytes(), "api_key").collect::<Vec<_>>();
        assert_eq!(found("/a?api_key=k"), [&b"k"[..]]);
        assert_eq!(found("/a?x=1&api_key=k%5Fl&y"), [&b"k_l"[..]]);
        assert_eq!(found("/a?api%5fkey=k&api_key=l"), [&b"k"[..], b"l"]);
        assert_eq!(found("/a?api_key=a=b"), [&b"a=b"[..]]);
        assert_eq!(found("/api_key=k?xapi_key=k&api_keys=k"), [&b""[..]; 0]);
        assert_eq!(found("/a?api_key=%zz%4"), [&b"%zz%4"[..]]);
    }

    #[test]
    fn removed_parameter_leaves_the_query_unchanged() {
        let without = |path: &str| {
            without_query(path.as_bytes(), "k", |_| true)
                .map(|path| String::from_utf8(path).unwrap())
        };
        assert_eq!(without("/a?k=1").as_deref(), Some("/a"));
        assert_eq!(
            without("/a?x=%20&k=1&y=+&%6b=2&k").as_deref(),
            Some("/a?x=%20&y=+")
        );
        assert_eq!(without("/a?k=1&").as_deref(), Some("/a?"));
        assert_eq!(without("/a?x=k"), None);
        assert_eq!(without("/a"), None);
        let ours = without_query(b"/?k=a%62&k=+%20&k=ab", "k", |value| value == b"ab");
        assert_eq!(ours.as_deref(), Some(&b"/?k=+%20"[..]));
    }

    #[test]
    fn cookie_is_found_and_removed() {
        let found = |value: &'static str| in_cookies(value.as_bytes(), "key").collect::<Vec<_>>();
        assert_eq!(found("key=k"), [b"k"]);
        assert_eq!(found("a=1; key=\"k\" ;keys=2, key = l"), [b"k", b"l"]);
        assert_eq!(found("a=key=k; Key=k"), [b""; 0]);
        let without = |value: &str| {
            without_cookie(value.as_bytes(), "key", |_| true).map(|v| String::from_utf8(v).unwrap())
        };
        assert_eq!(without("key=k").as_deref(), Some(""));
        assert_eq!(
            without("a=1; key=k; b=2; key=l").as_deref(),
            Some("a=1; b=2")
        );
        assert_eq!(without("a=1"), None);
        let ours = without_cookie(b"key=1; key=\"k\"; b", "key", |value| value == b"k");
        assert_eq!(ours.as_deref(), Some(&b"key=1; b"[..]));
        assert_eq!(
            without(r#"prefs=a,b; key=K; loc={"x":1,"y":2};z"#).as_deref(),
            Some(r#"prefs=a,b; loc={"x":1,"y":2};z"#)
        );
    }
}
