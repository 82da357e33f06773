//! `latchkey login` and `latchkey logout`: a session shared by later commands.

use clap::Args;
use serde_json::json;

use super::client::{self, Api, TokenSource};
use super::connection::{self, ApiArgs};
use super::error::CommandError;
use super::exit::Exit;
use super::output::Output;
use super::password;
use super::secret::Secret;
use super::session_file::{SavedSession, SessionFile};
use super::text;

/// Arguments of `login`.
#[derive(Clone, Args)]
pub struct Login {
    #[command(flatten)]
    api: ApiArgs,
    /// Read the password from stdin, instead of from LATCHKEY_PASSWORD or the terminal
    #[arg(long)]
    password_stdin: bool,
}

/// Ends the saved session.
#[derive(Clone, Args)]
pub struct Logout {
    #[command(flatten)]
    api: ApiArgs,
}

impl Login {
    pub(super) async fn run(self) -> Result<Exit, CommandError> {
        let file = SessionFile::find()?.ok_or_else(|| {
            CommandError::usage(
                "HOME: is not set, so the session cannot be \
            saved",
            )
        })?;
        let (client, url) = (self.api.client()?, self.api.url()?);
        let email = self
            .api
            .email
            .clone()
            .map_or_else(password::ask_email, Ok)?;
        let password = match &self.api.password {
            _ if self.password_stdin => password::from_stdin()?,
            Some(password) => password.clone(),
            None => password::ask(&format!("Password of {}: ", text::plain(&email)))?,
        };
        let session = client::log_in(&client, &url, &email, &password).await?;
        let token = Secret::new(text::field(&session, "token"));
        let expires_at = text::field(&session, "expires_at");
        file.write(&SavedSession::new(&url, &email, token, expires_at))?;
        let data =
            json!({ "url": url.as_str(), "user": session["user"], "expires_at": expires_at });
        let user = text::inline(&session["user"]["email"]);
        let message = format!(
            "Logged in as {user} at {url}. The session ends 30 minutes after its last use.\n"
        );
        Output::new(self.api.json, self.api.ignore_lost).show(&data, || message)?;

        Ok(Exit::Done)
    }
}

impl Logout {
    /// Ends the saved session at the API where it was opened, regardless of `--url`.
    pub(super) async fn run(self) -> Result<Exit, CommandError> {
        let output = Output::new(self.api.json, self.api.ignore_lost);
        let file = SessionFile::find()?;
        let saved = file.as_ref().map(SessionFile::read).transpose()?.flatten();
        let (Some(file), Some(saved)) = (file, saved) else {
            output.show(&json!({ "url": null }), || {
                "No session is saved.\n".to_owned()
            })?;
            return Ok(Exit::Done);
        };

        let url = connection::url(&saved.url)?;
        let api = Api::new(self.api.client()?, url, saved.token(), TokenSource::Saved);
        match api.log_out().await {
            // A session that has already ended is removed like others.
            Ok(_) | Err(CommandError::LogInAgain) => file.remove()?,
            Err(error) => return Err(error),
        }

        output.show(&json!({ "url": saved.url }), || {
            format!("Logged out at {}.\n", text::plain(&saved.url))
        })?;
        Ok(Exit::Done)
    }
}
