//! Extractors for handlers: session, query parameters, JSON body.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Query, Request};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use axum::response::IntoResponse as _;
use latchkey_api_types::from_rfc3339;
use latchkey_model::body::{STRANGERS_MAX_LEN, STRANGERS_PATIENCE, announces_more_than};
use latchkey_model::client_network::ClientNetwork;
use latchkey_model::entity_tag::IfMatch;
use latchkey_model::json;
use latchkey_model::secret::SessionToken;
use latchkey_policy::credential::may_be_imported;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::verdict::Code;
use latchkey_store::audit::Origin;
use latchkey_store::{Acting, Caller, Credential, Lasting, StoreError};
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::time;

use super::caller::Rules as _;
use super::error::ApiError;
use super::observe::{Noted, RequestId};
use super::throttle::Quota;
use super::{App, MAX_BODY_LEN, client_address};
use latchkey_server::http::{Peer, Place};

const API_KEY: &str = "x-api-key";

/// The last second with a year of four digits.
const LAST_SECOND: i64 = 253_402_300_799;

pub(crate) const MAX_LIMIT: u32 = 1_000;
pub(crate) const DEFAULT_LIMIT: u32 = 100;
pub(crate) const MAX_WAIT_MS: u32 = 30_000;
pub(crate) const DEFAULT_WAIT_MS: u32 = 1_000;

/// The caller of a request, as of the arrival of its headers, and their credential.
pub(crate) struct Session {
    pub(crate) caller: Caller,
    pub(crate) credential: Credential,
    origin: Origin,
    if_match: Option<IfMatch>,
}

impl FromRequestParts<Arc<App>> for Session {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let From(origin) = From::from_request_parts(parts, app).await?;
        let presented = presented(&parts.headers)?;
        let if_match = if_match(&parts.headers)?;
        let credential = credential(presented).ok_or(ApiError::Session)?;
        let now = app.clock.now();
        let caller = match app.store.caller(&credential, origin.address, now).await {
            // Does not resemble a key, so probably meant as a session token.
            Err(StoreError::KeyRefused(Code::InvalidKey))
                if !app.key_format.resembles(presented.as_bytes()) =>
            {
                return Err(ApiError::Session);
            }
            caller => caller?,
        };
        if let Some(place) = parts.extensions.get::<Place>() {
            place.vouch();
        }
        let quota = app.calls.take(caller.actor.id().unwrap_or_default(), now);
        if let Some(noted) = parts.extensions.get::<Noted>() {
            noted.note(quota);
        }
        match quota {
            Some(Quota {
                wait: Some(seconds),
                limit,
                ..
            }) => Err(ApiError::TooManyCalls { limit, seconds }),
            _ => Ok(Self {
                caller,
                credential,
                origin,
                if_match,
            }),
        }
    }
}

impl Session {
    /// Authorizes a change that requires `permission`. Refuses a caller without it at once; the
    /// change's transaction checks it again.
    pub(crate) fn acting(&self, app: &App, permission: &'static str) -> Result<Acting, ApiError> {
        self.caller.require(permission)?;
        Ok(self.begin(app, Some(permission)))
    }

    /// Authorizes a change that requires `permission` and whose result is not subject to a calling
    /// key's restrictions. Refuses restricted keys.
    pub(crate) fn acting_unrestricted(
        &self,
        app: &App,
        permission: &'static str,
        lasting: Lasting,
    ) -> Result<Acting, ApiError> {
        let acting = self.acting(app, permission)?;
        match self.caller.kept_to(lasting) {
            Some(what) => Err(ApiError::restricted_key(what, lasting)),
            None => Ok(acting.lasting(lasting)),
        }
    }

    /// Authorizes a change that every caller may make to their own data.
    pub(crate) fn acting_for_oneself(&self, app: &App) -> Acting {
        self.begin(app, None)
    }

    fn begin(&self, app: &App, permission: Option<&'static str>) -> Acting {
        let acting = app.store.acting(
            self.credential.clone(),
            permission,
            self.origin.clone(),
            app.clock.now(),
        );
        acting.conditional(self.if_match.clone())
    }
}

/// Reads a request's `If-Match` header.
fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, ApiError> {
    let values: Vec<_> = headers
        .get_all(header::IF_MATCH)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if values.is_empty() {
        return Ok(None);
    }
    let reason = "must be `*` or a list of entity tags, each in double quotes";
    let parsed = IfMatch::parse(&values.join(&b","[..]));
    parsed
        .map(Some)
        .ok_or_else(|| ApiError::header("If-Match", reason))
}

/// The origin of a request, for the audit.
pub(crate) struct From(pub(crate) Origin);

impl FromRequestParts<Arc<App>> for From {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let address = client_address::of(&parts.headers, peer(&parts.extensions), app.trusted_hops);
        let request_id = parts
            .extensions
            .get::<RequestId>()
            .map(|RequestId(id)| id.clone());
        Ok(Self(Origin {
            address,
            request_id,
        }))
    }
}

/// The client network that a request counts for.
pub(crate) struct CountedAs(pub(crate) ClientNetwork);

impl FromRequestParts<Arc<App>> for CountedAs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let peer = peer(&parts.extensions);
        // If no proxy reports a client, the peer of the connection counts.
        Ok(Self(ClientNetwork::of(
            client_address::of(&parts.headers, peer, app.trusted_hops).or(peer),
        )))
    }
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions
        .get::<Peer>()
        .map(|Peer(address)| address.ip().to_canonical())
}

/// Returns the single credential of a request.
fn presented(headers: &HeaderMap) -> Result<&str, ApiError> {
    match (bearer(headers), api_key(headers)) {
        (Some(token), Some(key)) if token != key => Err(ApiError::TwoCredentials),
        (Some(token), _) => Ok(token),
        (None, Some(key)) => Ok(key),
        (None, None) => Err(ApiError::Session),
    }
}

/// Parses a session token, or anything that can be a key: imported keys have other formats.
fn credential(presented: &str) -> Option<Credential> {
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
    pub(crate) fn patience(&mut self) -> Result<Duration, ApiError> {
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
pub(crate) struct StrangersBody<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for StrangersBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let body = Body::<T, STRANGERS_MAX_LEN>::from_request(request, state);
        let Body(body) = time::timeout(STRANGERS_PATIENCE, body)
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
    fn times_are_rfc_3339_or_unix_seconds() {
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

    #[test]
    fn two_credentials_are_one_too_many() {
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

    #[test]
    fn only_json_is_taken_for_json() {
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
