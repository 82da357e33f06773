//! Success responses.

use latchkey_model::schema::{object, one_of, text};
use serde::Deserialize;
use utoipa::openapi::Object;

use crate::named::named_schemas;

/// A success, as clients read it.
#[derive(Debug, Clone, Deserialize)]
pub struct Success<T> {
    /// The result, for people.
    pub message: String,
    pub data: T,
}

named_schemas! {
    /// A success without data.
    Done = object()
        .property("status", success()).required("status")
        .property("message", text().description(Some("The result, for people."))).required("message");
}

fn success() -> Object {
    one_of(["success"]).build()
}
