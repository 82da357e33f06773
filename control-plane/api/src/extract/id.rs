//! The id of a resource in the path of a request.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use std::convert::Infallible;

use crate::error::ApiError;

/// The id or the name of a resource in the path.
pub(crate) struct Id(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(id.ok().map(|Path(id)| id)))
    }
}

impl Id {
    /// Returns the id. Fails with `not_found` if it is not UTF-8, which no id is.
    pub(crate) fn or(self, not_found: ApiError) -> Result<String, ApiError> {
        self.0.ok_or(not_found)
    }
}
