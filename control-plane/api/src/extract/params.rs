//! The query parameters of a request.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use latchkey_api_types::from_rfc3339;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::ApiError;

/// The last second with a year of four digits.
const LAST_SECOND: i64 = 253_402_300_799;

pub(crate) const MAX_LIMIT: u32 = 1_000;
pub(crate) const DEFAULT_LIMIT: u32 = 100;
pub(crate) const MAX_WAIT_MS: u32 = 30_000;
pub(crate) const DEFAULT_WAIT_MS: u32 = 1_000;

/// A request's query parameters. Handlers take the known ones and then call
/// [`finish`](Self::finish).
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let pairs = Query::try_from_uri(&parts.uri).map_err(|_| ApiError::Invalid {
            field: None,
            error: "The query string is invalid.".to_owned(),
        })?;
        Ok(Self(pairs.0))
    }
}

impl Params {
    /// Takes the text parameter `name`, if given.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(index) = self.0.iter().position(|(key, _)| key == name) else {
            return Ok(None);
        };
        let (_, value) = self.0.swap_remove(index);
        if self.0.iter().any(|(key, _)| key == name) {
            return Err(ApiError::parameter(name, "is given twice"));
        }
        Ok(Some(value))
    }

    /// Takes the whole number `name`, or returns `default`.
    pub(crate) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, ApiError> {
        Ok(self.optional_number(name, range)?.unwrap_or(default))
    }

    /// Takes the whole number `name`, if given.
    pub(crate) fn optional_number(
        &mut self,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ApiError> {
        let Some(value) = self.text(name)? else {
            return Ok(None);
        };
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value
            .parse()
            .ok()
            .filter(|number| digits && range.contains(number));
        number.map(Some).ok_or_else(|| {
            ApiError::parameter(
                name,
                format_args!(
                    "must be a whole number from {} to {}",
                    range.start(),
                    range.end()
                ),
            )
        })
    }

    /// Takes the time `name`, if given, as RFC 3339 or whole Unix seconds. Returns Unix seconds.
    pub(crate) fn time(&mut self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let second = if digits {
            text.parse().ok()
        } else {
            from_rfc3339(&text)
        };
        let second = second
            .filter(|second| (0..=LAST_SECOND).contains(second))
            .ok_or_else(|| {
                let reason =
                    "must be a time from 1970 to 9999, as RFC 3339 or in whole Unix seconds";
                ApiError::parameter(name, reason)
            });
        second.map(Some)
    }

    /// Takes the time to wait for enforcement, `wait_ms`.
    pub(crate) fn timeout(&mut self) -> Result<Duration, ApiError> {
        Ok(Duration::from_millis(
            self.number("wait_ms", 0..=MAX_WAIT_MS, DEFAULT_WAIT_MS)?
                .into(),
        ))
    }

    /// Takes the word `name`, if given, and returns its value in `words`.
    pub(crate) fn word<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, meaning)| *meaning);
        found.map(Some).ok_or_else(|| {
            let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            ApiError::parameter(name, format_args!("must be one of {}", words.join(", ")))
        })
    }

    /// Takes the maximum number of entries, `limit`.
    pub(crate) fn limit(&mut self) -> Result<u32, ApiError> {
        self.number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT)
    }

    /// Refuses any remaining parameter.
    pub(crate) fn finish(self) -> Result<(), ApiError> {
        match self.0.first() {
            Some((name, _)) => Err(ApiError::parameter(name, "is unknown")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339_or_seconds() {
        let time = |text: &str| Params(vec![("to".to_owned(), text.to_owned())]).time("to");
        for (text, second) in [
            ("1800000000", 1_800_000_000),
            ("2027-01-15T09:00:00+01:00", 1_800_000_000),
            ("0", 0),
        ] {
            assert_eq!(time(text).unwrap(), Some(second), "{text}");
        }
        assert!(time("253402300799").is_ok());
        for refused in [
            "",
            "-1",
            "yesterday",
            "2027-01-15",
            "253402300800",
            "99999999999999999999",
            "+5",
        ] {
            let Err(ApiError::Invalid { error, .. }) = time(refused) else {
                unreachable!("{refused}")
            };
            assert!(
                error.starts_with("Query parameter `to` must be a time from 1970 to 9999"),
                "{refused}: {error}"
            );
        }
    }
}
