//! What handlers take from a request: its session, its query parameters, its JSON.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::IntoResponse as _;
use serde::de::DeserializeOwned;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::App;
use super::error::ApiError;
use crate::json;
use crate::secret::{SessionToken, TokenHash};
use crate::store::{Acting, Caller};

const MAX_LIMIT: u32 = 1_000;
const DEFAULT_LIMIT: u32 = 100;
const MAX_WAIT_MS: u32 = 30_000;
const DEFAULT_WAIT_MS: u32 = 1_000;

/// A live session, and on whose behalf it acts, as of the time when the request's head was there.
pub(super) struct Session {
    pub(super) caller: Caller,
    pub(super) token: TokenHash,
}

impl FromRequestParts<Arc<App>> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let token = bearer(&parts.headers).and_then(SessionToken::parse).ok_or(ApiError::Session)?.hash();
        let caller = app.store.use_session(&token, app.clock.now()).await?.ok_or(ApiError::Session)?;
        Ok(Self { caller, token })
    }
}

impl Session {
    /// For a change that takes `permission`. Who does not hold it is refused at once; whether they still do when the
    /// change is made is asked again there.
    pub(super) fn acting(&self, app: &App, permission: &'static str) -> Result<Acting, ApiError> {
        self.caller.require(permission)?;
        Ok(app.store.acting(self.token.clone(), permission, app.clock.now()))
    }
}

/// The one bearer token of a request; its scheme can be in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A request's query parameters. Handlers take those that they know, and then [`finish`](Self::finish).
pub(super) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let pairs = Query::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::Invalid { field: None, error: "The query cannot be read.".to_owned() })?;
        Ok(Self(pairs.0))
    }
}

impl Params {
    /// The text `name`, if it is given.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(index) = self.0.iter().position(|(key, _)| key == name) else { return Ok(None) };
        let (_, value) = self.0.swap_remove(index);
        if self.0.iter().any(|(key, _)| key == name) {
            return Err(ApiError::parameter(name, "is given twice"));
        }
        Ok(Some(value))
    }

    /// The whole number `name`, or `default` without it.
    pub(super) fn number(&mut self, name: &str, range: RangeInclusive<u32>, default: u32) -> Result<u32, ApiError> {
        let Some(value) = self.text(name)? else { return Ok(default) };
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|number| digits && range.contains(number));
        number.ok_or_else(|| {
            ApiError::parameter(name, format_args!("must be a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// How long the caller waits for enforcement: `wait_ms`.
    pub(super) fn patience(&mut self) -> Result<Duration, ApiError> {
        Ok(Duration::from_millis(self.number("wait_ms", 0..=MAX_WAIT_MS, DEFAULT_WAIT_MS)?.into()))
    }

    /// How many entries of a list the caller wants at most, and how many before them not: `limit` and `offset`.
    pub(super) fn page(&mut self) -> Result<(u32, u32), ApiError> {
        Ok((self.number("limit", 1..=MAX_LIMIT, DEFAULT_LIMIT)?, self.number("offset", 0..=u32::MAX, 0)?))
    }

    /// Refuses whatever is left.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        match self.0.first() {
            Some((name, _)) => Err(ApiError::parameter(name, "is not known here")),
            None => Ok(()),
        }
    }
}

/// A body that is one JSON object.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::UnsupportedMediaType);
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            match rejection.into_response().status() {
                StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge,
                _ => ApiError::Invalid { field: None, error: "The body cannot be read.".to_owned() },
            }
        })?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // serde would also read a structure from an array of its fields' values.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::Invalid { field: None, error: "The body must be a JSON object.".to_owned() });
    }
    Ok(json::read(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_bearer_token_is_found_whatever_the_case_of_its_scheme() {
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
    fn only_json_is_taken_for_json() {
        let is_json = |value| is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))]));
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/vnd.api+json"));
        assert!(!is_json("text/plain"));
        assert!(!is_json("application/jsonp"));
        assert!(!is_json("application/x-www-form-urlencoded"));
    }
}
