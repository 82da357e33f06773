//! The address of the API, and the credential.

use clap::Args;
use reqwest::{Certificate, Client, Url, redirect};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::{self, Api, TokenSource};
use super::error::CommandError;
use super::secret::Secret;
use super::session_file::SessionFile;
use super::text;

/// The time limit of a call. The API waits for nodes at most half as long.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The time limit for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const CREDENTIALS: &str =
    "log in with `latchkey login`, or set LATCHKEY_TOKEN, or LATCHKEY_EMAIL and LATCHKEY_PASSWORD";

/// Arguments of all commands that call the API.
///
/// Secrets come only from the environment: everybody on the machine can see a process' arguments.
#[derive(Clone, Args)]
#[command(next_help_heading = "The API")]
pub(super) struct ApiArgs {
    /// Address of the API
    #[arg(
        long,
        env = "LATCHKEY_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        global = true
    )]
    url: String,
    /// Email address to log in with, together with LATCHKEY_PASSWORD. LATCHKEY_TOKEN, a session
    /// token or an API key, takes precedence over both, and both over the session saved by
    /// `latchkey login`, which is used only for its own user
    #[arg(long, env = "LATCHKEY_EMAIL", value_name = "EMAIL", global = true)]
    pub(super) email: Option<String>,
    /// Additional certificates to trust, as PEM
    #[arg(long, env = "LATCHKEY_CA_FILE", value_name = "FILE", global = true)]
    ca_file: Option<PathBuf>,
    /// Print the API's data as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Exit with 0 even if lost nodes, which may still serve, have not acknowledged a change
    #[arg(long, global = true)]
    pub(super) ignore_lost: bool,
    #[arg(skip = Secret::from_env("LATCHKEY_TOKEN"))]
    token: Option<Secret>,
    #[arg(skip = Secret::from_env("LATCHKEY_PASSWORD"))]
    pub(super) password: Option<Secret>,
}

impl ApiArgs {
    /// Connects with the available token, or opens a session.
    pub(super) async fn open(&self) -> Result<Api, CommandError> {
        let (client, url) = (self.client()?, self.url()?);
        if let Some(token) = self.token.clone() {
            return Ok(Api::new(client, url, token, TokenSource::Given));
        }
        if let (Some(email), Some(password)) = (&self.email, &self.password) {
            let session = client::log_in(&client, &url, email, password).await?;
            let token = Secret::new(text::field(&session, "token"));
            return Ok(Api::new(client, url, token, TokenSource::Opened));
        }

        let saved = SessionFile::find()?
            .map(|file| file.read())
            .transpose()?
            .flatten();
        let token = saved.and_then(|saved| saved.token_for(&url, self.email.as_deref()));
        let token = token.ok_or_else(|| CommandError::usage(CREDENTIALS))?;

        Ok(Api::new(client, url, token, TokenSource::Saved))
    }

    pub(super) fn url(&self) -> Result<Url, CommandError> {
        url(&self.url)
    }

    pub(super) fn client(&self) -> Result<Client, CommandError> {
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT);
        let client = client.redirect(redirect::Policy::none());
        let certificates = self
            .ca_file
            .as_deref()
            .map(certificates)
            .transpose()?
            .unwrap_or_default();
        let client = if certificates.is_empty() {
            client
        } else {
            client.tls_certs_merge(certificates)
        };

        client
            .build()
            .map_err(|error| CommandError::usage(format!("no HTTP client: {error}")))
    }
}

/// Parses the URL of an HTTP server, without a secret in it.
pub(super) fn url(text: &str) -> Result<Url, CommandError> {
    let refused = |reason| CommandError::usage(format!("--url: {reason}"));
    let url = Url::parse(text).map_err(|error| refused(format!("is not a URL: {error}")))?;
    if !["http", "https"].contains(&url.scheme()) || url.host_str().is_none() {
        return Err(refused("must begin with http:// or https://".to_owned()));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(refused(
            "must not have a user, a query or a fragment".to_owned(),
        ));
    }
    Ok(url)
}

fn certificates(file: &Path) -> Result<Vec<Certificate>, CommandError> {
    let pem = fs::read(file)
        .map_err(|error| CommandError::file(file, format!("cannot be read: {error}")))?;
    let certificates = Certificate::from_pem_bundle(&pem)
        .map_err(|error| CommandError::file(file, format!("is not PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(CommandError::file(file, "contains no certificate"));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_http_without_credentials() {
        for address in ["http://127.0.0.1:8080", "https://latchkey.example.com/api/"] {
            assert!(url(address).is_ok(), "{address}");
        }
        for (address, reason) in [
            ("localhost:8080", "must begin with http://"),
            ("", "is not a URL"),
            ("file:///etc/passwd", "must begin with http://"),
            ("http://admin:hunter2@a", "must not have a user"),
            ("http://a?token=hunter2", "must not have a user, a query"),
        ] {
            let error = url(address).unwrap_err().to_string();
            assert!(
                error.starts_with("--url: ")
                    && error.contains(reason)
                    && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
