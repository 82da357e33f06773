//! Calls with an `Idempotency-Key`: they can be repeated after a lost response and have no second
//! effect.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use latchkey_store::RepeatableCall;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::MAX_BODY_LEN;
use super::error::ApiError;
use super::extract;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Bytes in the header.
const MAX_KEY_LEN: usize = 255;

/// A body that is one JSON object, and the call as it is recognised if it is repeated.
pub(super) struct Repeatable<T, const MAX_LEN: usize = MAX_BODY_LEN> {
    pub(super) request: T,
    pub(super) call: Option<RepeatableCall>,
}

impl<T: DeserializeOwned, S: Send + Sync, const MAX_LEN: usize> FromRequest<S>
    for Repeatable<T, MAX_LEN>
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let key = idempotency_key(request.headers())?;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let bytes = extract::json_bytes(request, state, MAX_LEN).await?;
        let call = key.map(|key| RepeatableCall::new(method.as_str(), &path, &key, &bytes));
        Ok(Self {
            request: extract::parse(&bytes)?,
            call,
        })
    }
}

/// The one `Idempotency-Key` of a request, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::header(IDEMPOTENCY_KEY, "is given twice"));
    }
    let key = value.as_bytes();
    if !(1..=MAX_KEY_LEN).contains(&key.len()) || !key.iter().all(u8::is_ascii_graphic) {
        let reason = format_args!("must have 1 to {MAX_KEY_LEN} visible ASCII characters");
        return Err(ApiError::header(IDEMPOTENCY_KEY, reason));
    }
    Ok(Some(key.to_vec()))
}

/// What a call has made, as it is shown: now, or as it was recorded.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Made<V> {
    New(V),
    Repeated(Value),
}

impl<V> Made<V> {
    /// `replayed` of the answer.
    pub(super) fn replayed(&self) -> Option<bool> {
        matches!(self, Self::Repeated(_)).then_some(true)
    }

    /// The status of the answer to a call that makes something new.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::New(_) => StatusCode::CREATED,
            Self::Repeated(_) => StatusCode::OK,
        }
    }
}

/// What is recorded of an answer: `view` has no secret in it.
pub(super) fn recorded(view: &impl Serialize) -> Value {
    // What can be shown is JSON.
    serde_json::to_value(view).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn idempotency_key_is_visible_ascii_of_bounded_length() {
        let read = |values: &[&[u8]]| {
            let values = values.iter().map(|value| {
                (
                    axum::http::HeaderName::from_static("idempotency-key"),
                    HeaderValue::from_bytes(value).unwrap(),
                )
            });
            let mut headers = HeaderMap::new();
            values.for_each(|(name, value)| _ = headers.append(name, value));
            idempotency_key(&headers).map_err(|error| match error {
                ApiError::Invalid { field, .. } => field.unwrap_or_default(),
                other => format!("{other:?}"),
            })
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"\"a-1\""]), Ok(Some(b"\"a-1\"".to_vec())));
        assert_eq!(read(&[&[b'~'; 255]]).unwrap().unwrap().len(), 255);
        let long = [b'a'; 256];
        let refused: [&[&[u8]]; 5] = [
            &[b""],
            &[b"a b"],
            &[&long],
            &["é".as_bytes()],
            &[b"a", b"a"],
        ];
        for refused in refused {
            assert_eq!(read(refused).unwrap_err(), "Idempotency-Key", "{refused:?}");
        }
    }
}
