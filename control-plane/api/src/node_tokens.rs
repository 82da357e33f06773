//! `/v1/node-tokens`: the credentials of Envoys on the stream.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use latchkey_model::clock::rfc3339;
use latchkey_model::json::given;
use latchkey_model::node_pattern::NodePattern;
use latchkey_model::secret::{NodeToken, TokenHash};
use latchkey_store::{Lasting, NewNodeToken, NodeTokenDetails, Outcome};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::Answer;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::fields;
use super::openapi::parameters::{IdempotencyKey, NodeTokenPath};
use super::openapi::texts;
use super::repeatable::{self, Made, Repeatable};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewNodeToken)]
pub(crate) struct NodeTokenCreation {
    /// The token's name, which identifies it.
    #[schema(value_type = texts::Word)]
    name: String,
    /// The values of Envoy's `node.id` that the token is valid for.
    #[schema(value_type = texts::NodePattern)]
    node: String,
    /// The SHA-256 of an existing token. By default a token is generated and returned once.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = texts::Sha256, nullable = false)]
    sha256: Option<String>,
}

/// A node token without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeToken)]
pub(crate) struct NodeTokenView {
    #[schema(value_type = texts::Word)]
    name: String,
    #[schema(value_type = texts::NodePattern)]
    node: String,
    #[schema(value_type = texts::Time)]
    created_at: String,
    /// The last time a stream was opened with the token, to the minute.
    #[schema(value_type = Option<texts::Time>, required)]
    last_used_at: Option<String>,
    #[schema(value_type = Option<texts::Time>, required)]
    revoked_at: Option<String>,
}

impl From<NodeTokenDetails> for NodeTokenView {
    fn from(token: NodeTokenDetails) -> Self {
        Self {
            name: token.name,
            node: token.pattern,
            created_at: rfc3339(token.created_at),
            last_used_at: token.last_used_at.map(rfc3339),
            revoked_at: token.revoked_at.map(rfc3339),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = NodeTokenList)]
pub(crate) struct NodeTokenList {
    node_tokens: Vec<NodeTokenView>,
    total: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedNodeToken)]
pub(crate) struct CreatedNodeToken {
    #[serde(flatten)]
    #[schema(value_type = NodeTokenView)]
    details: Made<NodeTokenView>,
    /// The token itself, returned only once. Absent if the request has `sha256`, or if the call was
    /// repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = texts::NodeTokenSecret, nullable = false)]
    node_token: Option<String>,
    /// True if this call repeats an earlier one with the same `Idempotency-Key`. Nothing was
    /// changed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replayed: Option<bool>,
}

/// List node tokens
#[utoipa::path(get, path = "/v1/node-tokens", operation_id = "listNodeTokens", tag = "Gateway",
    security(("credential" = ["gateway:nodetokens:read"])),
    responses((status = 200, description = "All node tokens, oldest first, including revoked ones.",
        body = Answer<NodeTokenList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<NodeTokenList>, ApiError> {
    caller.require("gateway:nodetokens:read")?;
    params.finish()?;
    let node_tokens: Vec<_> = app
        .store
        .node_tokens()
        .await?
        .into_iter()
        .map(NodeTokenView::from)
        .collect();
    let total = node_tokens.len();
    Ok(Answer::ok(
        "Node tokens retrieved successfully",
        NodeTokenList { node_tokens, total },
    ))
}

/// Create a node token
///
/// Several tokens can be valid at a time, so that a token can be replaced without interruption. An
/// API key that is restricted to services, subaccounts, a lifetime or addresses cannot create node
/// tokens. Repeating the call with the same `Idempotency-Key` within 24 hours creates no second
/// token and returns 200 without the token.
#[utoipa::path(post, path = "/v1/node-tokens", operation_id = "createNodeToken", tag = "Gateway",
    params(IdempotencyKey), request_body = NodeTokenCreation, security(("credential" = ["gateway:nodetokens:create"])),
    responses(
        (status = 201, description = "The new node token.", body = Answer<CreatedNodeToken>),
        (status = 200, description = "The node token of the repeated call.", body = Answer<CreatedNodeToken>),
        (status = 409, description = "Another valid node token has the name, the token exists or \
        has been revoked, or the `Idempotency-Key` was used with a different body."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Repeatable { request, call }: Repeatable<NodeTokenCreation>,
) -> Result<Answer<CreatedNodeToken>, ApiError> {
    let acting =
        session.acting_unrestricted(&app, "gateway:nodetokens:create", Lasting::NodeToken)?;
    params.finish()?;
    fields::word("name", &request.name)?;
    let pattern =
        NodePattern::parse(&request.node).map_err(|reason| ApiError::field("node", reason))?;
    let generated = request
        .sha256
        .is_none()
        .then(NodeToken::generate)
        .transpose()?;
    let hash = match (&generated, request.sha256) {
        (Some(token), _) => token.hash(),
        (None, text) => parse_hash(&text.unwrap_or_default())?,
    };
    let new = NewNodeToken {
        name: request.name,
        hash,
        pattern,
    };
    let data = |token: &NodeTokenDetails| repeatable::recorded(&NodeTokenView::from(token.clone()));
    let (details, node_token) = match acting.repeatable(call).create_node_token(new, data).await? {
        Outcome::New(details) => {
            info!(
                token = details.name,
                node = details.pattern,
                user = session.caller.user_id,
                "node token created"
            );
            (
                Made::New(details.into()),
                generated.map(|token| token.expose().to_owned()),
            )
        }
        Outcome::Repeated(recorded) => (Made::Repeated(recorded.data), None),
    };
    let (status, replayed) = (details.status(), details.replayed());
    let data = CreatedNodeToken {
        details,
        node_token,
        replayed,
    };
    Ok(Answer::with_status(
        status,
        "Node token created successfully",
        data,
    ))
}

/// Revoke a node token
///
/// Permanently revokes the token and closes the streams that were opened with it. Their nodes count
/// as lost until they return with another token.
#[utoipa::path(delete, path = "/v1/node-tokens/{name}", operation_id = "revokeNodeToken", tag = "Gateway",
    params(NodeTokenPath), security(("credential" = ["gateway:nodetokens:delete"])),
    responses((status = 200, description = "The revoked node token.", body = Answer<NodeTokenView>)))]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    name: Result<Path<String>, PathRejection>,
) -> Result<Answer<NodeTokenView>, ApiError> {
    let acting = session.acting(&app, "gateway:nodetokens:delete")?;
    params.finish()?;
    let Path(name) = name.map_err(|_| ApiError::NodeTokenNotFound)?;
    let details = acting.revoke_node_token(name).await?;
    info!(
        token = details.name,
        user = session.caller.user_id,
        "node token revoked"
    );
    Ok(Answer::ok(
        "Node token revoked successfully",
        details.into(),
    ))
}

fn parse_hash(text: &str) -> Result<TokenHash, ApiError> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| ApiError::field("sha256", "must be a SHA-256, of 64 hexadecimal digits"))?;
    Ok(TokenHash::from(hash))
}
