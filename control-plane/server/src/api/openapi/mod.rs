//! `/openapi.json`: the API's description, from the very calls that are routed.

mod answers;
pub(super) mod parameters;
pub(super) mod texts;

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use utoipa::PartialSchema as _;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::{Tag, TagBuilder};
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Server,
};

use super::error;

const DESCRIPTION: &str = "\
API keys enforced inside Envoy: this API manages the keys, and all that the filter decides by.

**Who asks.** Log in with `POST /v1/sessions` and send `Authorization: Bearer <token>` from then on, or send an API \
key in its place. Each call names the permission that it takes, such as `account:apikeys:read`; those that name none \
are for everyone who has a credential. A caller can make so many calls in a minute; answers say how many in \
`X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`.

**Answers.** A success is `{\"status\": \"success\", \"message\": …, \"data\": …}`. A refusal is `{\"status\": \
\"error\", \"code\": …, \"message\": …, \"error\": …}`, with `field` where one field or parameter is to blame. `code` \
is stable; `error` is a sentence for people. A path without the request's method is answered 405 with `Allow`.

**Changes** are answered once every connected Envoy decides by them, or after `wait_ms`: `enforcement` says how far \
they have come. After an answer with `acknowledged` equal to `nodes`, nothing passes any more that should not.";

const TAGS: [(&str, &str); 11] = [
    ("Sessions", "Logging in and out."),
    ("Keys", "API keys, and what becomes of requests with them."),
    ("Users", "Who acts for the account, and what they hold."),
    (
        "Accounts",
        "Who users and keys belong to, for the operator.",
    ),
    ("Services", "What keys can be scoped to."),
    (
        "Subaccounts",
        "Parts of the account that users and keys can be kept to.",
    ),
    ("Usage", "How much keys are used."),
    ("Audit", "Who changed what, when and from where."),
    (
        "Webhooks",
        "Who is told what becomes of the account's keys.",
    ),
    (
        "Gateway",
        "What every Envoy decides by, and how far each is.",
    ),
    ("Machines", "For probes, collectors and generators."),
];

/// What there is to say before any call is routed.
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
            "`data.token` of `POST /v1/sessions`, good until it is not used for 30 minutes; or an API key.",
        ))
        .build();
    let components = ComponentsBuilder::new()
        .schema("Error", error::Body::schema())
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

/// The description as it is sent.
pub(super) struct Document {
    json: Bytes,
    etag: String,
}

impl Document {
    /// Completes what the calls say of themselves.
    pub(super) fn new(openapi: &OpenApi) -> Result<Self, serde_json::Error> {
        let mut document = serde_json::to_value(openapi)?;
        answers::complete(&mut document);
        let json = serde_json::to_vec(&document)?;
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&json)));
        Ok(Self {
            json: json.into(),
            etag,
        })
    }
}

/// Get this description
///
/// It is made from the calls themselves, and changes only with the control plane's version.
#[utoipa::path(get, path = "/openapi.json", operation_id = "getDescription", tag = "Machines",
    responses(
        (status = 200, description = "The description.", body = Object,
            headers(("ETag" = String, description = "For `If-None-Match`."))),
        (status = 304, description = "It is the one that the caller has."),
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
