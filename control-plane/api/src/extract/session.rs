//! The caller of a request.

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, HeaderValue, header, request::Parts};
use latchkey_model::entity_tag::IfMatch;
use latchkey_policy::verdict::Code;
use latchkey_server::http::Place;
use latchkey_store::audit::Origin;
use latchkey_store::{Authorized, Caller, Credential, Lasting, StoreError};
use std::sync::Arc;

use super::RequestOrigin;
use super::credential::{credential, presented};
use crate::App;
use crate::caller::Rules as _;
use crate::error::ApiError;
use crate::middleware::RateLimitInfo;
use crate::throttle::Quota;

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
        let RequestOrigin(origin) = RequestOrigin::from_request_parts(parts, app).await?;
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
        if let Some(info) = parts.extensions.get::<RateLimitInfo>() {
            info.set(quota);
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
    pub(crate) fn acting(
        &self,
        app: &App,
        permission: &'static str,
    ) -> Result<Authorized, ApiError> {
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
    ) -> Result<Authorized, ApiError> {
        let acting = self.acting(app, permission)?;
        match self.caller.kept_to(lasting) {
            Some(restriction) => Err(ApiError::restricted_key(restriction, lasting)),
            None => Ok(acting.lasting(lasting)),
        }
    }

    /// Authorizes a change that every caller may make to their own data.
    pub(crate) fn acting_for_oneself(&self, app: &App) -> Authorized {
        self.begin(app, None)
    }

    fn begin(&self, app: &App, permission: Option<&'static str>) -> Authorized {
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
