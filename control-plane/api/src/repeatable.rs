//! Calls with an `Idempotency-Key`: they can be repeated after a lost response and have no second
//! effect.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use latchkey_api_types::Made;
use latchkey_store::RepeatableCall;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::MAX_BODY_LEN;
use super::error::ApiError;
use super::extract;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The maximum length of the header, in bytes.
const MAX_KEY_LEN: usize = 255;

/// A body of one JSON object, with the data that identifies a repeated call.
pub(crate) struct Repeatable<T, const MAX_LEN: usize = MAX_BODY_LEN> {
    pub(crate) request: T,
    pub(crate) call: Option<RepeatableCall>,
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

/// Returns the single `Idempotency-Key` of a request, if any.
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

/// Returns the status of the response to a creating call.
pub(crate) fn status<V>(made: &Made<V>) -> StatusCode {
    match made {
        Made::New(_) => StatusCode::CREATED,
        Made::Repeated(_) => StatusCode::OK,
    }
}

/// Returns the recorded part of a response; `view` contains no secret.
pub(crate) fn recorded(view: &impl Serialize) -> Value {
    // A view can always be serialized.
    serde_json::to_value(view).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn idempotency_key_is_bounded_ascii() {
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
