//! Bounds of the bodies of requests, which the API and the console have in common.

use std::time::Duration;

/// Bytes in the body of a request without a credential.
pub const STRANGERS_MAX_LEN: usize = 4 * 1024;

/// The time that the body of a request without a credential has from the end of the headers.
pub const STRANGERS_PATIENCE: Duration = Duration::from_secs(5);

/// Returns whether the body that this `Content-Length` announces is longer than `most`: nothing of
/// it need be read then. A value that is no number announces nothing.
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
                announces_more_than(content_length.map(str::as_bytes), STRANGERS_MAX_LEN);
            assert_eq!(announced, expected, "{content_length:?}");
        }
    }
}
