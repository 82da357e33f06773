//! `/v1/sessions/current`: logs out.

use axum::extract::State;
use latchkey_store::Credential;
use std::sync::Arc;

use super::App;
use super::error::ApiError;
use super::extract::{Params, Session};
use super::response::{Answer, Done};

/// Log out
///
/// Ends the calling session.
#[utoipa::path(delete, path = "/v1/sessions/current", operation_id = "logOut", tag = "Sessions",
    security(("credential" = [])),
    responses((status = 200, description = "The session has ended.", body = Done)))]
pub(crate) async fn log_out(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
) -> Result<Answer<()>, ApiError> {
    params.finish()?;
    let Credential::Session(token) = session.credential.clone() else {
        return Err(ApiError::Session);
    };
    session.acting_for_oneself(&app).end_session(token).await?;
    Ok(Answer::done("Logged out successfully"))
}
