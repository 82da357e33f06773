//! The body of a request: one JSON object.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::IntoResponse as _;
use latchkey_model::body::{ANONYMOUS_MAX_LEN, ANONYMOUS_TIMEOUT, announces_more_than};
use latchkey_model::json;
use serde::de::DeserializeOwned;
use tokio::time;

use crate::MAX_BODY_LEN;
use crate::error::ApiError;

/// A body of one JSON object, of at most `MAX_LEN` bytes.
pub(crate) struct Body<T, const MAX_LEN: usize = MAX_BODY_LEN>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX_LEN: usize> FromRequest<S>
    for Body<T, MAX_LEN>
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        parse(&json_bytes(request, state, MAX_LEN).await?).map(Self)
    }
}

/// Reads a body declared as JSON, of at most `max_len` bytes.
pub(crate) async fn json_bytes<S: Send + Sync>(
    mut request: Request,
    state: &S,
    max_len: usize,
) -> Result<Bytes, ApiError> {
    if !is_json(request.headers()) {
        return Err(ApiError::UnsupportedMediaType);
    }
    let content_length = request.headers().get(header::CONTENT_LENGTH);
    if announces_more_than(content_length.map(HeaderValue::as_bytes), max_len) {
        return Err(ApiError::TooLarge { max_len });
    }
    DefaultBodyLimit::max(max_len).apply(&mut request);
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge { max_len },
            _ => ApiError::Invalid {
                field: None,
                error: "The body could not be read.".to_owned(),
            },
        })
}

/// The body of a call without a credential: short, with a short time limit.
pub(crate) struct AnonymousBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for AnonymousBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Body::<T, ANONYMOUS_MAX_LEN>::from_request(request, state);
        let Body(body) = time::timeout(ANONYMOUS_TIMEOUT, body)
            .await
            .map_err(|_| ApiError::BodyTimeout)??;
        Ok(Self(body))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Parses one JSON object.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    // serde would also read a structure from an array of its fields' values.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::Invalid {
            field: None,
            error: "The body must be a JSON object.".to_owned(),
        });
    }
    Ok(json::read(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_content_types_are_accepted() {
        let is_json = |value| {
            is_json(&HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static(value),
            )]))
        };
        assert!(is_json("application/json"));
        assert!(is_json("Application/JSON; charset=utf-8"));
        assert!(is_json("application/vnd.api+json"));
        assert!(!is_json("text/plain"));
        assert!(!is_json("application/jsonp"));
        assert!(!is_json("application/x-www-form-urlencoded"));
    }
}
