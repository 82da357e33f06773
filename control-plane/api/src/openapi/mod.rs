//! `/openapi.json`: the API's description, generated from the routed calls.

pub(super) mod parameters;
mod responses;

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use latchkey_api_types::Error;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use utoipa::PartialSchema as _;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Server,
};

const DESCRIPTION: &str = "\
API keys enforced inside Envoy: this API manages keys, users, accounts and the rules that the \
filter enforces.

**Authentication.** Log in with `POST /v1/sessions` and send `Authorization: Bearer <token>`, or \
send an API key instead of the token. Each call lists the permission that it requires, such as \
`account:apikeys:read`; calls without a listed permission need only a valid credential. Calls are \
limited per caller and minute; responses report the limit in `X-RateLimit-Limit`, \
`X-RateLimit-Remaining` and `X-RateLimit-Reset`.

**Responses.** A success is `{\"status\": \"success\", \"message\": …, \"data\": …}`. An error is \
`{\"status\": \"error\", \"code\": …, \"message\": …, \"error\": …}`, with `field` if a single \
field or parameter caused it. `code` is stable; `error` is a sentence for people. If a path does \
not support the request's method, the response is 405 with `Allow`.

**Changes** return once every connected Envoy enforces them, or after `wait_ms`; `enforcement` \
reports the progress. After a response with `acknowledged` equal to `nodes`, every Envoy that can \
still serve enforces the change.";

const TAGS: [(&str, &str); 11] = [
    ("Sessions", "Log in and log out."),
    ("Keys", "API keys, and verdicts on requests that use them."),
    (
        "Users",
        "Users of the account, with their roles and permissions.",
    ),
    (
        "Accounts",
        "Owners of users and keys, managed by the operator.",
    ),
    ("Services", "Services that keys can be scoped to."),
    (
        "Subaccounts",
        "Parts of the account that users and keys can be restricted to.",
    ),
    ("Usage", "Request counts of keys."),
    (
        "Audit",
        "Log of changes: who changed what, when and from where.",
    ),
    (
        "Webhooks",
        "Notifications about changes to the account's keys.",
    ),
    (
        "Gateway",
        "Route rules, tiers, and the Envoys that enforce them.",
    ),
    (
        "Machines",
        "Endpoints for probes, metrics collectors and code generators.",
    ),
];

/// Returns the description without any calls.
pub(super) fn base() -> OpenApi {
    let license = LicenseBuilder::new()
        .name(env!("CARGO_PKG_LICENSE"))
        .identifier(Some(env!("CARGO_PKG_LICENSE")));
    let info: Info = InfoBuilder::new()
        .title("Latchkey")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license.build()))
        .build();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("session token or API key")
        .description(Some(
            "`data.token` of `POST /v1/sessions`, valid until 30 minutes pass without use; or an \
            API key.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .schema("Error", Error::schema())
        .security_scheme("credential", SecurityScheme::Http(bearer));
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::new("/")]))
        .tags(Some(TAGS.map(|(name, description)| tag(name, description))))
        .components(Some(components.build()))
        .build()
}

fn tag(name: &str, description: &str) -> Tag {
    TagBuilder::new()
        .name(name)
        .description(Some(description))
        .build()
}

/// The description in the form in which it is sent.
pub(super) struct Document {
    json: Bytes,
    etag: String,
}

impl Document {
    /// Completes the descriptions of the calls.
    pub(super) fn new(openapi: &OpenApi) -> Result<Self, serde_json::Error> {
        let mut document = serde_json::to_value(openapi)?;
        responses::complete(&mut document);
        let json = serde_json::to_vec(&document)?;
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&json)));
        Ok(Self {
            json: json.into(),
            etag,
        })
    }
}

/// Get the OpenAPI description
///
/// The description is generated from the code and changes only with the control plane's version.
#[utoipa::path(get, path = "/openapi.json", operation_id = "getDescription", tag = "Machines",
    responses(
        (status = 200, description = "The OpenAPI description.", body = Object,
            headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "The caller's copy is current."),
    ))]
pub(super) async fn get(
    Extension(document): Extension<Arc<Document>>,
    request: HeaderMap,
) -> Response {
    let known = request
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    let headers = [
        (header::ETAG, document.etag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    if known.is_some_and(|known| known.split(',').any(|etag| etag.trim() == document.etag)) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let kind = [
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, kind, document.json.clone()).into_response()
}
