//! The key of a page, and API calls on it.

use axum::extract::FromRequestParts;
use axum::http::{Method, StatusCode, request::Parts};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::PATH;
use super::view::Key;
use crate::Page;
use crate::api::Refusal;
use crate::failure::Failure;
use crate::id::Id;
use crate::session::Session;

/// The key whose id is in the page's address.
pub(super) struct Target {
    id: String,
}

/// A key and its usage.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    pub(super) key: Key,
    pub(super) usage: Used,
}

/// Requests that were admitted, and this month's requests by code.
#[derive(Debug, Deserialize)]
pub(super) struct Used {
    pub(super) requests_today: u64,
    pub(super) requests_this_month: u64,
    pub(super) by_code: BTreeMap<String, u64>,
}

impl FromRequestParts<Page> for Target {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Page) -> Result<Self, Failure> {
        let Id(id) = Id::from_request_parts(parts, console).await?;
        Ok(Self { id })
    }
}

impl Target {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Returns the path of the key's page.
    pub(super) fn page(&self) -> String {
        format!("{PATH}/{}", self.id)
    }

    /// Reads the key and its usage.
    pub(super) async fn shown(&self, session: &Session) -> Result<Shown, Failure> {
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
    ) -> Result<Result<T, Refusal>, Failure> {
        match session
            .api
            .send(method, &format!("/v1/keys/{}{below}", self.id), body)
            .await
        {
            Ok(answer) => Ok(Ok(answer)),
            Err(refusal) if refusal.is_of_form() && refusal.status != StatusCode::NOT_FOUND => {
                Ok(Err(refusal))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }
}
