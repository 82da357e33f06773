//! Explanations of verdicts.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use utoipa::ToSchema;

use crate::{Error, schemas};

/// A description of a request.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The key, if the headers do not contain it.
    #[schema(value_type = Option<schemas::KeyId>)]
    pub key_id: Option<String>,
    pub request: DescribedRequest,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribedRequest {
    #[serde(default = "get")]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub method: String,
    /// The `:authority` header.
    #[serde(default)]
    #[schema(max_length = 512, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub host: String,
    /// The path with its query.
    #[serde(default = "root")]
    #[schema(max_length = 61440, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub path: String,
    /// One value for each name; join the values of a repeated header with commas.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The client address as Envoy trusts it.
    #[schema(value_type = Option<schemas::IpAddress>)]
    pub source_address: Option<IpAddr>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    #[schema(value_type = schemas::VerdictCode)]
    pub code: String,
    pub passes: bool,
    /// The error response, if the request does not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refusal: Option<Refusal>,
    /// The number of the route rule that applies, from 1.
    #[schema(required, minimum = 1)]
    pub rule: Option<usize>,
    /// The key in the request, if the account has it.
    #[schema(required, value_type = Option<schemas::KeyId>)]
    pub key_id: Option<String>,
    /// The subaccount that the request acts on.
    #[schema(required)]
    pub subaccount: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    #[schema(value_type = u64)]
    pub status: u32,
    #[schema(value_type = Error)]
    pub error: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Step {
    #[schema(value_type = schemas::VerdictCode)]
    pub check: String,
    /// `passed` or `refused`; for the first step `applies` or `does_not_apply`.
    pub outcome: String,
    pub compared: String,
}

fn get() -> String {
    "GET".to_owned()
}

fn root() -> String {
    "/".to_owned()
}
