//! Limits on request bodies, shared by the API and the console.

use std::time::Duration;

/// The maximum length of the body of a request without a credential, in bytes.
pub const ANONYMOUS_MAX_LEN: usize = 4 * 1024;

/// The time limit for the body of a request without a credential, counted from the end of the
/// headers.
pub const ANONYMOUS_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns whether this `Content-Length` announces a body of more than `most` bytes, so that none
/// of it needs to be read. A value that is not a number announces nothing.
pub fn announces_more_than(content_length: Option<&[u8]>, most: usize) -> bool {
    let len = content_length
        .and_then(|len| str::from_utf8(len).ok())
        .and_then(|len| len.parse::<u64>().ok());
    len.is_some_and(|len| usize::try_from(len).map_or(true, |len| len > most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_longer_bodies_are_announced() {
        for (content_length, expected) in [
            (None, false),
            (Some("4096"), false),
            (Some("4097"), true),
            (Some("18446744073709551615"), true),
            (Some("many"), false),
        ] {
            let announced =
                announces_more_than(content_length.map(str::as_bytes), ANONYMOUS_MAX_LEN);
            assert_eq!(announced, expected, "{content_length:?}");
        }
    }
}
