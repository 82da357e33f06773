//! Actions of an operator on nodes: forget a lost node, and accept the nodes of another database.

use axum::http::Method;
use axum::response::Response;
use maud::{Markup, html};
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Node, PATH};
use crate::error::PageError;
use crate::flash;
use crate::session::{Session, VerifiedForm};
use crate::widgets::csrf;

const PERMISSION: &str = "gateway:nodes:update";

/// Forgets a lost node, or the unknown nodes.
pub(super) async fn forget(
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require(PERMISSION, "forget nodes")?;
    let handle = fields.text("handle");
    // Handles consist only of letters and digits; no other text becomes part of the call's path.
    let handle = if handle.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        handle
    } else {
        ""
    };

    let call = format!("/v1/nodes/{handle}");
    session
        .api
        .send::<IgnoredAny>(Method::DELETE, &call, &json!({}))
        .await?;
    Ok(flash::redirect(PATH, "forgotten", None))
}

/// Accepts the nodes of another database.
pub(super) async fn accept(
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require(PERMISSION, "accept the nodes of another database")?;
    let epoch = json!({ "epoch": fields.text("epoch") });
    session
        .api
        .send::<IgnoredAny>(Method::POST, "/v1/nodes/accept-epoch", &epoch)
        .await?;
    Ok(flash::redirect(PATH, "accepted", None))
}

/// Renders the actions that are available for a node.
pub(super) fn actions(session: &Session, node: &Node) -> Markup {
    if !session.user.may(PERMISSION) {
        return html! {};
    }
    html! {
        @if let Some(epoch) = &node.epoch {
            form method="post" action={ (PATH) "/accept-epoch" } {
                (csrf(session))
                input type="hidden" name="epoch" value=(epoch);
                button type="submit" aria-label={ "Accept the database of " (node.node_id) } { "Accept" }
            }
        }
        @if !node.connected { (forget_form(session, &node.handle, &node.node_id)) }
    }
}

/// Renders the form that forgets nodes that are not in the database.
pub(super) fn forget_unknown(session: &Session) -> Markup {
    if session.user.may(PERMISSION) {
        forget_form(session, "unknown", "unknown nodes")
    } else {
        html! {}
    }
}

fn forget_form(session: &Session, handle: &str, name: &str) -> Markup {
    html! {
        form method="post" action={ (PATH) "/forget" } {
            (csrf(session))
            input type="hidden" name="handle" value=(handle);
            button .danger type="submit" aria-label={ "Forget " (name) } { "Forget" }
        }
    }
}
