//! The API, as commands call it.

use clap::Args;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::time::Duration;

use super::CommandError;

/// The API waits at most half of this for nodes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the API is, and on whose behalf it is called.
///
/// Secrets come from the environment alone: everybody on the machine can see a process' arguments.
#[derive(Clone, Args)]
pub(super) struct ApiArgs {
    /// Address of the API
    #[arg(long, env = "LATCHKEY_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// Email address to log in with, where no session is given
    #[arg(long, env = "LATCHKEY_EMAIL", value_name = "EMAIL")]
    email: Option<String>,
    /// Of a session; without one, email address and password open one for this command.
    #[arg(skip = std::env::var("LATCHKEY_TOKEN").ok())]
    token: Option<String>,
    #[arg(skip = std::env::var("LATCHKEY_PASSWORD").ok())]
    password: Option<String>,
}

/// A session.
pub(super) struct Api {
    client: Client,
    url: String,
    token: String,
    /// It was opened for this command.
    ours: bool,
}

impl ApiArgs {
    /// Opens a session, unless there is a token for one.
    pub(super) async fn open(self) -> Result<Api, CommandError> {
        let url = self.url.trim_end_matches('/').to_owned();
        let client = Client::builder().timeout(PATIENCE).build();
        let client = client.map_err(|error| CommandError::Usage(format!("no HTTP client: {error}")))?;
        if let Some(token) = self.token {
            return Ok(Api { client, url, token, ours: false });
        }
        let (Some(email), Some(password)) = (self.email, self.password) else {
            let needed = "set LATCHKEY_TOKEN, or LATCHKEY_EMAIL and LATCHKEY_PASSWORD";
            return Err(CommandError::Usage(needed.to_owned()));
        };
        let credentials = json!({ "email": email, "password": password });
        let session = send(client.post(format!("{url}/v1/sessions")).json(&credentials)).await?;
        let token = session["token"].as_str().unwrap_or_default().to_owned();
        Ok(Api { client, url, token, ours: true })
    }
}

impl Api {
    /// `data` of the answer.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, CommandError> {
        send(self.client.post(format!("{}{path}", self.url)).bearer_auth(&self.token).json(body)).await
    }

    /// Ends the session if it was opened for this command. One that cannot be ended ends by itself.
    pub(super) async fn close(self) {
        if self.ours {
            let current = self.client.delete(format!("{}/v1/sessions/current", self.url));
            let _ = send(current.bearer_auth(&self.token)).await;
        }
    }
}

async fn send(request: RequestBuilder) -> Result<Value, CommandError> {
    let unreachable = |error: reqwest::Error| CommandError::Unreachable {
        url: error.url().map_or_else(String::new, ToString::to_string),
        reason: chain(&error.without_url()),
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let text = response.text().await.map_err(unreachable)?;
    let mut answer: Value = serde_json::from_str(&text).unwrap_or_default();
    if status.is_success() {
        return Ok(answer["data"].take());
    }
    let error = answer["error"].as_str().unwrap_or("the answer is not one of Latchkey's API").to_owned();
    Err(CommandError::Refused { status: status.as_u16(), error })
}

/// An error with what is behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
