//! `/v1/node-tokens`: what Envoys present to be served.

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
pub(super) struct NodeTokenCreation {
    /// Its name, by which it is revoked.
    #[schema(value_type = texts::Word)]
    name: String,
    /// Which values of Envoy's `node.id` it is valid for.
    #[schema(value_type = texts::NodePattern)]
    node: String,
    /// SHA-256 of a token that exists already. By default one is generated and returned once.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = texts::Sha256, nullable = false)]
    sha256: Option<String>,
}

/// A node token without its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = NodeToken)]
pub(super) struct NodeTokenView {
    #[schema(value_type = texts::Word)]
    name: String,
    #[schema(value_type = texts::NodePattern)]
    node: String,
    #[schema(value_type = texts::Time)]
    created_at: String,
    /// When a stream was opened with it last, to the minute.
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
pub(super) struct NodeTokenList {
    node_tokens: Vec<NodeTokenView>,
    total: usize,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedNodeToken)]
pub(super) struct CreatedNodeToken {
    #[serde(flatten)]
    #[schema(value_type = NodeTokenView)]
    details: Made<NodeTokenView>,
    /// The token itself, shown only in this answer. Absent if the request has its `sha256`, or was
    /// repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = texts::NodeTokenSecret, nullable = false)]
    node_token: Option<String>,
    /// The call had been made before, with the same `Idempotency-Key`, and had no second effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    replayed: Option<bool>,
}

/// List the node tokens
#[utoipa::path(get, path = "/v1/node-tokens", operation_id = "listNodeTokens", tag = "Gateway",
    security(("credential" = ["gateway:nodetokens:read"])),
    responses((status = 200, description = "All node tokens, the oldest first, with revoked ones.",
        body = Answer<NodeTokenList>)))]
pub(super) async fn list(
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
/// Several tokens are valid at a time, so that one can take the place of another without an
/// interruption. An API key that is kept to services, subaccounts, a time or addresses makes none.
/// Repeated with the same `Idempotency-Key` within 24 hours, the call makes no second token, and is
/// answered 200 without the token.
#[utoipa::path(post, path = "/v1/node-tokens", operation_id = "createNodeToken", tag = "Gateway",
    params(IdempotencyKey), request_body = NodeTokenCreation, security(("credential" = ["gateway:nodetokens:create"])),
    responses(
        (status = 201, description = "The new node token.", body = Answer<CreatedNodeToken>),
        (status = 200, description = "The node token that the call made before.", body = Answer<CreatedNodeToken>),
        (status = 409, description = "A valid node token has the name, the token exists or has been revoked, or the \
            `Idempotency-Key` was used with another body."),
    ))]
pub(super) async fn create(
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
/// Permanently. Streams that were opened with it are closed. Their nodes count as lost until they
/// return with another token.
#[utoipa::path(delete, path = "/v1/node-tokens/{name}", operation_id = "revokeNodeToken", tag = "Gateway",
    params(NodeTokenPath), security(("credential" = ["gateway:nodetokens:delete"])),
    responses((status = 200, description = "The revoked node token.", body = Answer<NodeTokenView>)))]
pub(super) async fn revoke(
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
