//! Success responses.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
pub(crate) use latchkey_api_types::Done;
use latchkey_model::entity_tag::EntityTag;
use latchkey_model::schema::one_of;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Object;

/// `{"status":"success","message":…,"data":…}`
#[derive(Serialize, ToSchema)]
pub(crate) struct Answer<T> {
    #[schema(schema_with = success)]
    status: &'static str,
    /// The result, for people.
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = T, required)]
    data: Option<T>,
    #[serde(skip)]
    code: StatusCode,
    #[serde(skip)]
    etag: Option<EntityTag>,
}

fn success() -> Object {
    one_of(["success"]).build()
}

impl<T: Serialize> Answer<T> {
    pub(crate) fn ok(message: &'static str, data: T) -> Self {
        Self {
            status: "success",
            message,
            data: Some(data),
            code: StatusCode::OK,
            etag: None,
        }
    }

    pub(crate) fn created(message: &'static str, data: T) -> Self {
        Self::with_status(StatusCode::CREATED, message, data)
    }

    pub(crate) fn with_status(code: StatusCode, message: &'static str, data: T) -> Self {
        Self {
            code,
            ..Self::ok(message, data)
        }
    }

    /// Adds the entity tag of the returned resource.
    pub(crate) fn tagged(self, tag: impl Into<Option<EntityTag>>) -> Self {
        Self {
            etag: tag.into(),
            ..self
        }
    }

    /// A request that is recorded and carried out later.
    pub(crate) fn accepted(message: &'static str, data: T) -> Self {
        Self {
            code: StatusCode::ACCEPTED,
            ..Self::ok(message, data)
        }
    }
}

impl Answer<()> {
    pub(crate) fn done(message: &'static str) -> Self {
        Self {
            status: "success",
            message,
            data: None,
            code: StatusCode::OK,
            etag: None,
        }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let etag = self
            .etag
            .as_ref()
            .and_then(|tag| HeaderValue::try_from(tag.quoted()).ok());
        let mut response = (self.code, Json(self)).into_response();
        if let Some(etag) = etag {
            response.headers_mut().insert(header::ETAG, etag);
        }
        response
    }
}
