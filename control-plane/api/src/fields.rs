//! Checks of fields that occur in several bodies.

use latchkey_api_types::{EXPIRY_END, Expiry, MAX_ENTRIES, MAX_WORD_LEN};
use latchkey_model::secret::Password;
use latchkey_model::selection::Selection;
use latchkey_model::text;
use latchkey_store::KeySort;

use super::error::ApiError;

/// The maximum number of days until the keys of a list expire: a century.
pub(crate) const MAX_DAYS: u32 = 36_500;

/// The words that sort a list of keys, ascending by default and descending with a leading `-`.
pub(crate) const SORTS: [(&str, (KeySort, bool)); 8] = [
    ("created_at", (KeySort::CreatedAt, false)),
    ("-created_at", (KeySort::CreatedAt, true)),
    ("name", (KeySort::Name, false)),
    ("-name", (KeySort::Name, true)),
    ("expires_at", (KeySort::ExpiresAt, false)),
    ("-expires_at", (KeySort::ExpiresAt, true)),
    ("last_used_at", (KeySort::LastUsedAt, false)),
    ("-last_used_at", (KeySort::LastUsedAt, true)),
];

/// Returns the name as it is stored. See [`text::name`].
pub(crate) fn name(field: &str, text: &str) -> Result<String, ApiError> {
    text::name(text).map_err(|reason| ApiError::field(field, reason))
}

/// Returns the email address as it is stored. See [`text::email`].
pub(crate) fn email(field: &str, text: &str) -> Result<String, ApiError> {
    text::email(text).map_err(|reason| ApiError::field(field, reason))
}

/// Checks a new password.
pub(crate) fn password(field: &str, password: &Password) -> Result<(), ApiError> {
    if password.long_enough() {
        Ok(())
    } else {
        Err(ApiError::field(
            field,
            format_args!("must have at least {} characters", Password::MIN_LEN),
        ))
    }
}

/// Returns the description as it is stored. See [`text::description`].
pub(crate) fn description(text: Option<String>) -> Result<Option<String>, ApiError> {
    let stored = text.map(|text| text::description(&text)).transpose();
    stored.map_err(|reason| ApiError::field("description", reason))
}

/// Returns the expiry in Unix seconds, if it is valid at `now`.
pub(crate) fn expiry(field: &str, Expiry(second): Expiry, now: i64) -> Result<i64, ApiError> {
    if second <= now {
        return Err(ApiError::field(field, "must be in the future"));
    }
    if second >= EXPIRY_END {
        return Err(ApiError::field(field, "must be before the year 9999"));
    }
    Ok(second)
}

/// Checks a name for machines, of a service, tier or node token.
pub(crate) fn word(field: &str, text: &str) -> Result<(), ApiError> {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if (1..=MAX_WORD_LEN).contains(&text.len()) && text.bytes().all(plain) {
        Ok(())
    } else {
        Err(ApiError::field(
            field,
            format_args!("must have 1 to {MAX_WORD_LEN} characters of a-z, 0-9, _ and -"),
        ))
    }
}

/// Checks the length of a list.
pub(crate) fn bounded<T>(field: &str, list: &[T]) -> Result<(), ApiError> {
    if list.len() <= MAX_ENTRIES {
        Ok(())
    } else {
        Err(ApiError::field(
            field,
            format_args!("must have at most {MAX_ENTRIES} entries"),
        ))
    }
}

/// Checks the length of a selection.
pub(crate) fn selection(field: &str, selection: &Selection) -> Result<(), ApiError> {
    bounded(field, selection.listed().unwrap_or_default())
}

/// Checks a scope: all services, or at least one by name.
pub(crate) fn scope(field: &str, scope: &Selection) -> Result<(), ApiError> {
    let Some(services) = scope.listed() else {
        return Ok(());
    };
    if services.is_empty() {
        return Err(ApiError::field(
            field,
            "must be \"all\" or name at least one service",
        ));
    }
    bounded(field, services)?;
    services
        .iter()
        .enumerate()
        .try_for_each(|(index, service)| word(&format!("{field}[{index}]"), service))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiry(value: &str) -> Result<i64, String> {
        let expiry: Expiry = serde_json::from_str(value).map_err(|error| error.to_string())?;
        super::expiry("expires_at", expiry, 1_800_000_000).map_err(|error| match error {
            ApiError::Invalid { error, .. } => error,
            other => format!("{other:?}"),
        })
    }

    #[test]
    fn expiry_is_rfc3339_or_seconds() {
        assert_eq!(expiry("1800000001"), Ok(1_800_000_001));
        assert_eq!(expiry(r#""2030-01-01T00:00:00Z""#), Ok(1_893_456_000));
        assert_eq!(
            expiry(r#""2030-01-01T02:00:00.9+02:00""#),
            Ok(1_893_456_000)
        );
        for refused in [
            "1800000001.5",
            "true",
            r#""tomorrow""#,
            r#""2030-01-01""#,
            r#""2030-01-01T00:00:00""#,
            r#""2030-01-01T00Z""#,
            r#""2030-01-01T00:00:00+00:00[UTC]""#,
        ] {
            let error = expiry(refused).unwrap_err();
            assert!(
                error.contains("expected a time as RFC 3339 or in whole Unix seconds"),
                "{refused}: {error}"
            );
        }
    }

    #[test]
    fn expiry_is_future_with_four_digits() {
        for past in ["1800000000", "0", "-1", r#""2020-01-01T00:00:00Z""#] {
            assert_eq!(
                expiry(past).unwrap_err(),
                "Field `expires_at` must be in the future."
            );
        }
        assert_eq!(expiry("253370764799"), Ok(253_370_764_799));
        for late in [
            "253370764800",
            "18446744073709551615",
            r#""9999-01-01T00:00:00Z""#,
        ] {
            assert_eq!(
                expiry(late).unwrap_err(),
                "Field `expires_at` must be before the year 9999."
            );
        }
    }
}
