//! Extracts forms and queries: the fields of a form by name, in the order of the page and as they
//! were typed; and the parameters of an address.

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::{Form, RequestExt as _, extract};
use latchkey_model::body::{ANONYMOUS_MAX_LEN, ANONYMOUS_TIMEOUT, announces_more_than};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time;

use crate::ConsoleState;
use crate::error::PageError;

/// The fields of a form. A missing field counts as an empty one.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Fields(Vec<(String, String)>);

impl FromRequest<ConsoleState> for Fields {
    type Rejection = PageError;

    async fn from_request(request: Request, _: &ConsoleState) -> Result<Self, PageError> {
        let Form(fields) = request.extract().await.map_err(|_| PageError::Unreadable)?;
        Ok(Self(fields))
    }
}

/// The query of an address.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<ConsoleState> for Query<T> {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, _: &ConsoleState) -> Result<Self, PageError> {
        let extract::Query(query) =
            extract::Query::try_from_uri(&parts.uri).map_err(|_| PageError::Unreadable)?;
        Ok(Self(query))
    }
}

impl Fields {
    /// Reads a form from a sender without a session. Its size and the time to receive it are
    /// limited.
    pub(super) async fn from_stranger(
        mut request: Request,
        console: &ConsoleState,
    ) -> Result<Self, PageError> {
        let content_length = request.headers().get(header::CONTENT_LENGTH);
        let content_length = content_length.map(HeaderValue::as_bytes);
        if announces_more_than(content_length, ANONYMOUS_MAX_LEN) {
            return Err(PageError::Unreadable);
        }

        DefaultBodyLimit::max(ANONYMOUS_MAX_LEN).apply(&mut request);
        let fields = time::timeout(ANONYMOUS_TIMEOUT, Self::from_request(request, console)).await;
        fields.unwrap_or(Err(PageError::Unreadable))
    }

    /// Returns the first field of this name, without blanks around it.
    pub(super) fn text(&self, name: &str) -> &str {
        self.all(name).next().unwrap_or_default()
    }

    /// Returns the first field of this name as it was typed.
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// Returns the field of this name, unless it is empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// Returns all fields of this name, such as the ticked boxes of a list.
    pub(super) fn all<'f>(&'f self, name: &str) -> impl Iterator<Item = &'f str> {
        self.0
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.trim())
    }

    /// Returns all fields as they were sent.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns whether the field of this name is not empty, such as that of a ticked box.
    pub(super) fn is_set(&self, name: &str) -> bool {
        !self.text(name).is_empty()
    }
}

impl FromIterator<(String, String)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}
