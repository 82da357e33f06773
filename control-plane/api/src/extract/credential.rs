//! The credential of a request: a session token or an API key.

use axum::http::{HeaderMap, header};
use latchkey_model::secret::SessionToken;
use latchkey_policy::credential::may_be_imported;
use latchkey_policy::key::KeyDigest;
use latchkey_store::Credential;

use crate::error::ApiError;

const API_KEY: &str = "x-api-key";

/// Returns the single credential of a request.
pub(super) fn presented(headers: &HeaderMap) -> Result<&str, ApiError> {
    match (bearer(headers), api_key(headers)) {
        (Some(token), Some(key)) if token != key => Err(ApiError::TwoCredentials),
        (Some(token), _) => Ok(token),
        (None, Some(key)) => Ok(key),
        (None, None) => Err(ApiError::Session),
    }
}

/// Parses a session token, or anything that can be a key: imported keys have other formats.
pub(super) fn credential(presented: &str) -> Option<Credential> {
    if let Some(token) = SessionToken::parse(presented) {
        return Some(Credential::Session(token.hash()));
    }
    may_be_imported(presented.as_bytes())
        .then(|| Credential::Key(KeyDigest::of(presented.as_bytes())))
}

/// Returns the single `X-API-Key` of a request.
fn api_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(API_KEY).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    Some(value.to_str().ok()?.trim())
}

/// Returns the single bearer token of a request. The scheme is case-insensitive.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn bearer_scheme_is_case_insensitive() {
        let bearer = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(bearer(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(bearer(&["bEARER   abc "]).as_deref(), Some("abc"));
        assert_eq!(bearer(&["Basic abc"]), None);
        assert_eq!(bearer(&["Bearer"]), None);
        assert_eq!(bearer(&["Bearer abc", "Bearer def"]), None);
        assert_eq!(bearer(&[]), None);
    }

    #[test]
    fn two_credentials_are_refused() {
        let presented = |bearer: Option<&'static str>, key: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            bearer.map(|value| {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value))
            });
            key.map(|value| headers.append(API_KEY, HeaderValue::from_static(value)));
            presented(&headers).map(str::to_owned)
        };
        assert_eq!(presented(Some("Bearer a"), None).unwrap(), "a");
        assert_eq!(presented(None, Some(" a ")).unwrap(), "a");
        assert_eq!(presented(Some("Bearer a"), Some("a")).unwrap(), "a");
        assert!(matches!(
            presented(Some("Bearer a"), Some("b")),
            Err(ApiError::TwoCredentials)
        ));
        assert!(matches!(presented(None, None), Err(ApiError::Session)));
    }
}
