//! `/v1/node-tokens`: the credentials of Envoys on the stream.

use axum::extract::State;
use latchkey_api_types::{self as types, Made};
use latchkey_model::clock::rfc3339;
use latchkey_model::node_pattern::NodePattern;
use latchkey_model::secret::{NodeToken, TokenHash};
use latchkey_store::{Lasting, NewNodeToken, NodeTokenDetails, Outcome};
use std::sync::Arc;
use tracing::info;

use super::App;
use super::caller::Rules as _;
use super::error::ApiError;
use super::extract::{Id, Params, Session};
use super::fields;
use super::openapi::parameters::{IdempotencyKey, NodeTokenPath};
use super::repeatable::{self, Repeatable};
use super::response::Answer;

fn view(token: NodeTokenDetails) -> types::NodeToken {
    types::NodeToken {
        name: token.name,
        node: token.pattern,
        created_at: rfc3339(token.created_at),
        last_used_at: token.last_used_at.map(rfc3339),
        revoked_at: token.revoked_at.map(rfc3339),
    }
}

/// List node tokens
#[utoipa::path(get, path = "/v1/node-tokens", operation_id = "listNodeTokens", tag = "Gateway",
    security(("credential" = ["gateway:nodetokens:read"])),
    responses((status = 200, description = "All node tokens, oldest first, including revoked ones.",
        body = Answer<types::NodeTokenList>)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Session { caller, .. }: Session,
    params: Params,
) -> Result<Answer<types::NodeTokenList>, ApiError> {
    caller.require("gateway:nodetokens:read")?;
    params.finish()?;

    let node_tokens: Vec<_> = app
        .store
        .node_tokens()
        .await?
        .into_iter()
        .map(view)
        .collect();
    let total = node_tokens.len();
    Ok(Answer::ok(
        "Node tokens retrieved successfully",
        types::NodeTokenList { node_tokens, total },
    ))
}

/// Create a node token
///
/// Several tokens can be valid at a time, so that a token can be replaced without interruption. An
/// API key that is restricted to services, subaccounts, a lifetime or addresses cannot create node
/// tokens. Repeating the call with the same `Idempotency-Key` within 24 hours creates no second
/// token and returns 200 without the token.
#[utoipa::path(post, path = "/v1/node-tokens", operation_id = "createNodeToken", tag = "Gateway",
    params(IdempotencyKey), request_body = types::NewNodeToken, security(("credential" = ["gateway:nodetokens:create"])),
    responses(
        (status = 201, description = "The new node token.", body = Answer<types::CreatedNodeToken>),
        (status = 200, description = "The node token of the repeated call.", body = Answer<types::CreatedNodeToken>),
        (status = 409, description = "Another valid node token has the name, the token exists or \
        has been revoked, or the `Idempotency-Key` was used with a different body."),
    ))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Repeatable { request, call }: Repeatable<types::NewNodeToken>,
) -> Result<Answer<types::CreatedNodeToken>, ApiError> {
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
    let data = |token: &NodeTokenDetails| repeatable::recorded(&view(token.clone()));
    let (details, node_token) = match acting.repeatable(call).create_node_token(new, data).await? {
        Outcome::New(details) => {
            info!(
                token = details.name,
                node = details.pattern,
                user = session.caller.user_id,
                "node token created"
            );
            (
                Made::New(view(details)),
                generated.map(|token| token.expose().to_owned()),
            )
        }
        Outcome::Repeated(recorded) => (Made::Repeated(recorded.data), None),
    };
    let (status, replayed) = (repeatable::status(&details), details.replayed());
    let data = types::CreatedNodeToken {
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
    responses((status = 200, description = "The revoked node token.", body = Answer<types::NodeToken>)))]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    name: Id,
) -> Result<Answer<types::NodeToken>, ApiError> {
    let acting = session.acting(&app, "gateway:nodetokens:delete")?;
    params.finish()?;
    let name = name.or(ApiError::NodeTokenNotFound)?;

    let details = acting.revoke_node_token(name).await?;
    info!(
        token = details.name,
        user = session.caller.user_id,
        "node token revoked"
    );
    Ok(Answer::ok("Node token revoked successfully", view(details)))
}

fn parse_hash(text: &str) -> Result<TokenHash, ApiError> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash)
        .map_err(|_| ApiError::field("sha256", "must be a SHA-256, of 64 hexadecimal digits"))?;
    Ok(TokenHash::from(hash))
}
