//! Lets an operator forget lost nodes that no longer serve, and accept nodes that hold another
//! database's snapshot.

use axum::extract::State;
use latchkey_api_types::{self as types, from_rfc3339};
use latchkey_server::nodes::identity::NodeId;
use latchkey_server::nodes::registry::NodeView;
use latchkey_store::Epoch;
use std::collections::BTreeSet;
use std::sync::Arc;
use tracing::info;

use crate::App;
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, Session};
use crate::openapi::parameters::NodePath;
use crate::response::Answer;

const PERMISSION: &str = "gateway:nodes:update";

/// The `handle` of nodes that the database does not know.
const UNKNOWN: &str = "unknown";

/// Forget a lost node
///
/// The node no longer counts in `enforcement`. If it still serves, a revocation that is reported as
/// complete may not have reached it.
#[utoipa::path(delete, path = "/v1/nodes/{handle}", operation_id = "forgetNode", tag = "Gateway",
    params(NodePath), security(("credential" = ["gateway:nodes:update"])),
    responses(
        (status = 200, description = "The forgotten node.", body = Answer<types::ForgottenNodes>),
        (status = 404, description = "No lost node has this handle."),
        (status = 409, description = "The node is connected."),
    ))]
pub(crate) async fn forget(
    State(app): State<Arc<App>>,
    session: Session,
    handle: Id,
    params: Params,
) -> Result<Answer<types::ForgottenNodes>, ApiError> {
    let acting = session.acting(&app, PERMISSION)?;
    params.finish()?;
    let handle = handle.or(ApiError::NodeNotFound)?;

    if handle == UNKNOWN {
        let merged = app.registry.merged();
        app.registry.unknown().ok_or(ApiError::NodeNotFound)?;
        acting.forget_nodes(BTreeSet::new(), true).await?;
        app.registry.forget_unknown(merged);
        info!(user = session.caller.user_id, "unknown nodes forgotten");
        return Ok(Answer::ok(
            "Node forgotten successfully",
            types::ForgottenNodes {
                forgotten: vec![handle],
            },
        ));
    }
    let nodes: Vec<_> = app
        .registry
        .nodes()
        .into_iter()
        .filter(|node| node.id.handle() == handle)
        .collect();
    if nodes.is_empty() {
        return Err(ApiError::NodeNotFound);
    }
    if nodes.iter().any(|node| node.connected) {
        return Err(ApiError::NodeConnected);
    }
    let ids: Vec<_> = nodes.into_iter().map(|node| node.id).collect();
    acting
        .forget_nodes(ids.iter().map(NodeId::key).collect(), false)
        .await?;
    app.registry.forget(&ids);
    info!(user = session.caller.user_id, handle, "node forgotten");
    Ok(Answer::ok(
        "Node forgotten successfully",
        types::ForgottenNodes {
            forgotten: vec![handle],
        },
    ))
}

/// Forget nodes lost before a time
#[utoipa::path(post, path = "/v1/nodes/forget", operation_id = "forgetLostNodes", tag = "Gateway",
    request_body = types::LostNodes, security(("credential" = ["gateway:nodes:update"])),
    responses((status = 200, description = "The forgotten nodes.", body = Answer<types::ForgottenNodes>)))]
pub(crate) async fn forget_lost(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(types::LostNodes { lost_before }): Body<types::LostNodes>,
) -> Result<Answer<types::ForgottenNodes>, ApiError> {
    let acting = session.acting(&app, PERMISSION)?;
    params.finish()?;

    let before = from_rfc3339(&lost_before)
        .ok_or_else(|| ApiError::field("lost_before", "must be a time as RFC 3339"))?;
    let is_lost = |node: &NodeView| !node.connected && node.since < before;
    let ids: Vec<_> = app
        .registry
        .nodes()
        .into_iter()
        .filter(is_lost)
        .map(|node| node.id)
        .collect();
    if !ids.is_empty() {
        acting
            .forget_nodes(ids.iter().map(NodeId::key).collect(), false)
            .await?;
        app.registry.forget(&ids);
        info!(
            user = session.caller.user_id,
            nodes = ids.len(),
            "lost nodes forgotten"
        );
    }
    let forgotten = ids.iter().map(|id| id.handle().to_owned()).collect();
    Ok(Answer::ok(
        "Nodes forgotten successfully",
        types::ForgottenNodes { forgotten },
    ))
}

/// Accept the nodes of another database
///
/// Serves nodes whose snapshot has this epoch from now on. Each of them replaces its snapshot with
/// this database's.
#[utoipa::path(post, path = "/v1/nodes/accept-epoch", operation_id = "acceptEpoch", tag = "Gateway",
    request_body = types::EpochToAccept, security(("credential" = ["gateway:nodes:update"])),
    responses((status = 200, description = "The accepted epochs.", body = Answer<types::AcceptedEpochs>)))]
pub(crate) async fn accept_epoch(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
    Body(types::EpochToAccept { epoch }): Body<types::EpochToAccept>,
) -> Result<Answer<types::AcceptedEpochs>, ApiError> {
    let acting = session.acting(&app, PERMISSION)?;
    params.finish()?;

    let epochs: BTreeSet<Epoch> = match epoch {
        Some(epoch) => {
            let bytes = hex::decode(&epoch)
                .ok()
                .and_then(|bytes| bytes.try_into().ok());
            let epoch =
                bytes.ok_or_else(|| ApiError::field("epoch", "must be 32 hexadecimal digits"))?;
            BTreeSet::from([epoch])
        }
        None => app
            .registry
            .nodes()
            .into_iter()
            .filter_map(|node| node.waiting_epoch)
            .collect(),
    };
    if !epochs.is_empty() {
        acting.accept_epochs(epochs.clone()).await?;
        info!(
            user = session.caller.user_id,
            epochs = epochs.len(),
            "epochs accepted"
        );
    }
    let epochs = epochs.into_iter().map(hex::encode).collect();
    Ok(Answer::ok(
        "Epochs accepted successfully",
        types::AcceptedEpochs { epochs },
    ))
}
