//! `/v1/sessions`: logging in and out.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tracing::info;
use utoipa::ToSchema;

use super::App;
use super::answer::{Answer, Done};
use super::error::ApiError;
use super::extract::{Body, From, Params, Session};
use super::openapi::texts;
use crate::clock::rfc3339;
use crate::secret::{Password, SessionToken};
use crate::store::{Credential, SESSION_IDLE_SECONDS};

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Login)]
pub(super) struct Login {
    email: String,
    #[schema(value_type = String, format = Password)]
    password: Password,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct LoggedIn {
    #[schema(value_type = texts::SessionToken)]
    token: String,
    /// Later with every use.
    #[schema(value_type = texts::Time)]
    expires_at: String,
    user: User,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SessionUser)]
struct User {
    #[schema(value_type = texts::UserId)]
    id: String,
    #[schema(value_type = texts::Email)]
    email: String,
}

/// Log in
///
/// Opens a session, which ends when it is not used for 30 minutes.
#[utoipa::path(post, path = "/v1/sessions", operation_id = "logIn", tag = "Sessions",
    request_body = Login,
    responses(
        (status = 200, description = "The session.", body = Answer<LoggedIn>),
        (status = 401, description = "Email address or password is wrong, and which is not said."),
    ))]
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    From(origin): From,
    params: Params,
    Body(login): Body<Login>,
) -> Result<Answer<LoggedIn>, ApiError> {
    params.finish()?;
    let now = app.clock.now();
    let address = origin.address.map(|address| address.to_string()).unwrap_or_default();
    app.logins.admit(&login.email, now).map_err(ApiError::TooManyLogins)?;
    app.login_addresses.admit(&address, now).map_err(ApiError::TooManyLogins)?;
    let found = app.store.credentials(&login.email).await?;
    let stored = found.as_ref().map(|user| user.password_hash.clone());
    let verified = app.passwords.verify(login.password, stored).await?;
    let token = SessionToken::generate()?;
    let user = match found.filter(|_| verified) {
        // What was verified may not count any more by now.
        Some(user) if app.store.begin_session(&token.hash(), &user, &origin, now).await? => user,
        _ => {
            app.logins.failed(&login.email, now);
            app.login_addresses.failed(&address, now);
            info!("a login was refused");
            return Err(ApiError::Credentials);
        }
    };
    app.logins.succeeded(&login.email);
    info!(user = user.user_id, "logged in");
    Ok(Answer::ok(
        "Logged in successfully",
        LoggedIn {
            token: token.expose().to_owned(),
            expires_at: rfc3339(now.saturating_add(SESSION_IDLE_SECONDS)),
            user: User { id: user.user_id, email: user.email },
        },
    ))
}

/// Log out
///
/// Ends the session that asks.
#[utoipa::path(delete, path = "/v1/sessions/current", operation_id = "logOut", tag = "Sessions",
    security(("credential" = [])),
    responses((status = 200, description = "The session has ended.", body = Done)))]
pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    session: Session,
    params: Params,
) -> Result<Answer<()>, ApiError> {
    params.finish()?;
    let Credential::Session(token) = session.credential.clone() else { return Err(ApiError::Session) };
    session.acting_for_oneself(&app).end_session(token).await?;
    Ok(Answer::done("Logged out successfully"))
}
