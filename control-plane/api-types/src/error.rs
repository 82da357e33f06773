//! Error responses.

use latchkey_model::schema::one_of;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi;

/// `{"status":"error","code":…,"message":…,"error":…,"field":…}`
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(description = "An error response.")]
pub struct Error {
    #[schema(schema_with = error_status)]
    pub status: String,
    /// The stable error code, for programs.
    #[schema(pattern = "^[a-z][a-z0-9_]*$", example = "invalid_request")]
    pub code: String,
    /// The kind of error, for people.
    #[schema(example = "Invalid request")]
    pub message: String,
    /// The cause in this case, as a sentence.
    #[schema(example = "Field `name` is missing.")]
    pub error: String,
    /// The field or parameter that caused the error, if it is a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "name")]
    pub field: Option<String>,
}

fn error_status() -> openapi::Object {
    one_of(["error"]).build()
}
