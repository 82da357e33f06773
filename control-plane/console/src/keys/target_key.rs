//! The key of a page, and API calls on it.

use axum::extract::FromRequestParts;
use axum::http::{Method, StatusCode, request::Parts};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::PATH;
use super::view::Key;
use crate::ConsoleState;
use crate::api::Refusal;
use crate::error::PageError;
use crate::id::Id;
use crate::session::Session;

/// The key whose id is in the page's address.
pub(super) struct TargetKey {
    id: String,
}

/// A key and its usage.
#[derive(Debug, Deserialize)]
pub(super) struct KeyDetails {
    #[serde(flatten)]
    pub(super) key: Key,
    pub(super) usage: KeyUsage,
}

/// Requests that were admitted, and this month's requests by code.
#[derive(Debug, Deserialize)]
pub(super) struct KeyUsage {
    pub(super) requests_today: u64,
    pub(super) requests_this_month: u64,
    pub(super) by_code: BTreeMap<String, u64>,
}

impl FromRequestParts<ConsoleState> for TargetKey {
    type Rejection = PageError;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &ConsoleState,
    ) -> Result<Self, PageError> {
        let Id(id) = Id::from_request_parts(parts, console).await?;
        Ok(Self { id })
    }
}

impl TargetKey {
    /// Returns the key's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the path of the key's page.
    pub(super) fn page(&self) -> String {
        format!("{PATH}/{}", self.id)
    }

    /// Reads the key and its usage.
    pub(super) async fn load(&self, session: &Session) -> Result<KeyDetails, PageError> {
        Ok(session.api.get(&format!("/v1/keys/{}", self.id)).await?)
    }

    /// Makes a call on the key, or on the path `below` it. The inner error is one that the form
    /// shows; all others are error pages.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        session: &Session,
        method: Method,
        below: &str,
        body: &impl Serialize,
    ) -> Result<Result<T, Refusal>, PageError> {
        match session
            .api
            .send(method, &format!("/v1/keys/{}{below}", self.id), body)
            .await
        {
            Ok(data) => Ok(Ok(data)),
            Err(refusal) if refusal.is_about_form() && refusal.status != StatusCode::NOT_FOUND => {
                Ok(Err(refusal))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}
