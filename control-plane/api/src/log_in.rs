//! `POST /v1/sessions`: logs in.

use axum::extract::State;
use latchkey_api_types as types;
use latchkey_model::client_network::ClientNetwork;
use latchkey_model::clock::rfc3339;
use latchkey_model::random::{self, NoRandomness};
use latchkey_model::secret::{Password, SessionToken};
use latchkey_model::text;
use latchkey_server::metrics::LoginOutcome;
use latchkey_server::password::{Party, PasswordError, Rank};
use latchkey_store::audit::Origin;
use latchkey_store::{Credentials, Refusals, RefusedLogins, SESSION_IDLE_SECONDS};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use tracing::info;

use super::App;
use super::error::ApiError;
use super::extract::{AnonymousBody, CountedNetwork, Params, RequestOrigin};
use super::login_limits::{Login, LoginTry};
use super::response::Answer;

/// Log in
///
/// Opens a session, which ends after 30 minutes without use. The body is limited to 4 KiB and must
/// arrive within 5 seconds.
#[utoipa::path(post, path = "/v1/sessions", operation_id = "logIn", tag = "Sessions",
    request_body = types::Login,
    responses(
        (status = 200, description = "The session.", body = Answer<types::Session>),
        (status = 401, description = "Email address or password is wrong."),
        (status = 408, description = "The body did not arrive in time."),
    ))]
pub(crate) async fn log_in(
    State(app): State<Arc<App>>,
    RequestOrigin(origin): RequestOrigin,
    CountedNetwork(client): CountedNetwork,
    params: Params,
    AnonymousBody(types::Login { email, password }): AnonymousBody<types::Login>,
) -> Result<Answer<types::Session>, ApiError> {
    params.finish()?;

    let now = app.clock.now();
    let found = app.store.login(&email, client).await?;
    let attempt = Attempt {
        app: &app,
        client,
        origin,
        now,
        found: found.as_ref().map(|(user, _)| user),
        email: &email,
    };
    let known = found.as_ref().is_some_and(|(_, known)| *known);
    let counted = attempt.begin(known)?;

    let verified = match attempt.verify(password, known).await {
        Err(PasswordError::Busy) => {
            counted.withdraw();
            attempt.refused(&LoginOutcome::BUSY);
            return Err(ApiError::PasswordsBusy);
        }
        verified => verified?,
    };
    let token = SessionToken::generate()?;
    let Some(user) = attempt.open_session(&token, verified).await? else {
        attempt.refused(&LoginOutcome::REFUSED);
        return Err(ApiError::Credentials);
    };

    counted.succeeded();
    app.metrics
        .http
        .logins
        .get_or_create(&LoginOutcome::ACCEPTED)
        .inc();
    info!(user = user.user_id, %client, "logged in");
    let session = types::Session {
        token: token.expose().to_owned(),
        expires_at: rfc3339(now.saturating_add(SESSION_IDLE_SECONDS)),
        user: types::SessionUser {
            id: user.user_id.clone(),
            email: user.email.clone(),
        },
    };
    Ok(Answer::ok("Logged in successfully", session))
}

/// A login attempt.
struct Attempt<'a> {
    app: &'a App,
    client: ClientNetwork,
    origin: Origin,
    now: i64,
    found: Option<&'a Credentials>,
    /// The email address as typed. It may be a password in the wrong field.
    email: &'a str,
}

impl Attempt<'_> {
    fn begin(&self, known: bool) -> Result<LoginTry<'_>, ApiError> {
        let nobody = || format!("email {}", text::normalized_email(self.email));
        let user = self.found.map_or_else(nobody, |user| user.user_id.clone());
        let login = Login {
            user: &user,
            client: self.client,
            known,
        };
        self.app.logins.begin(login, self.now).map_err(|seconds| {
            self.refused(&LoginOutcome::THROTTLED);
            ApiError::TooManyLogins { seconds }
        })
    }

    /// Returns whether the password is the user's. Takes as long if there is no user.
    async fn verify(&self, password: Password, known: bool) -> Result<bool, PasswordError> {
        let stored = self.found.map(|user| user.password_hash.clone());
        let rank = if known { Rank::Known } else { Rank::Unknown };
        let party = Party::Client(self.client);
        self.app
            .passwords
            .verify(password, stored, rank, &party)
            .await
    }

    /// Opens a session and returns its user, if the password was verified.
    async fn open_session(
        &self,
        token: &SessionToken,
        verified: bool,
    ) -> Result<Option<&Credentials>, ApiError> {
        let Some(user) = self.found.filter(|_| verified) else {
            return Ok(None);
        };
        // The user may have changed since the password was verified, so the store checks again.
        let begun = self
            .app
            .store
            .begin_session(&token.hash(), user, self.client, &self.origin, self.now)
            .await?;
        Ok(begun.then_some(user))
    }

    /// Counts and logs a refused login, and records it in the audit of the user's account.
    fn refused(&self, outcome: &LoginOutcome) {
        self.app.metrics.http.logins.get_or_create(outcome).inc();
        let (client, outcome) = (self.client, outcome.name());
        let Some(user) = self.found else {
            let email = self.app.digests.digest(&text::normalized_email(self.email));
            info!(%client, email_digest = email, outcome, "login refused: no user has this email \
            address");
            return;
        };
        info!(%client, user = user.user_id, email = user.email, outcome, "login refused");
        let refused = RefusedLogins {
            account_id: user.account_id.clone(),
            user_id: user.user_id.clone(),
            email: user.email.clone(),
            address: self.origin.address,
            request_id: self.origin.request_id.clone(),
            refusals: Refusals {
                attempts: 1,
                throttled: u64::from(outcome != LoginOutcome::REFUSED.name()),
            },
        };
        self.app.refused_logins.note(self.client, refused, self.now);
    }
}

/// Keyed digests of values that must not be logged, which show whether two values are equal. The
/// random key exists only in this process, so a log does not reveal the values.
pub(crate) struct LogDigests([u8; 32]);

impl LogDigests {
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        random::fill(&mut key)?;
        Ok(Self(key))
    }

    fn digest(&self, text: &str) -> String {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(self.0)
            .chain_update(text)
            .finalize()
            .into();
        hash.iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_digests_differ_between_processes() {
        let [one, two] = [(); 2].map(|()| LogDigests::new().unwrap());
        assert_eq!(one.digest("hunter2"), one.digest("hunter2"));
        assert_ne!(one.digest("hunter2"), one.digest("hunter3"));
        assert_ne!(one.digest("hunter2"), two.digest("hunter2"));
        assert_eq!(one.digest("hunter2").len(), 12);
    }
}
