//! A client for the control plane's API that calls it as its administrator.

use std::time::Duration;

use anyhow::{Context as _, Result};
pub use latchkey_api_types::Enforcement;
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// The timeout of a call. A call may wait for enforcement; one that takes longer than this hangs.
const CALL: Duration = Duration::from_secs(30);

/// Creates a client that only talks to this machine: it uses no proxy, follows no redirects, and
/// every request has a timeout.
///
/// # Panics
/// Panics when the client cannot be made, which depends on nothing.
#[must_use]
pub fn http_client() -> reqwest::Client {
    // Fails only if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(CALL);
    client.build().unwrap()
}

/// A created key, with its secret, which the API shows only once.
#[derive(Debug, Clone, Deserialize)]
pub struct CreatedKey {
    /// `key_` and 12 characters.
    pub key_id: String,
    /// The secret.
    pub api_key: String,
}

/// A key's new secret.
#[derive(Debug, Clone, Deserialize)]
pub struct Regenerated {
    /// The secret.
    pub api_key: String,
    /// The enforcement progress of the change.
    pub enforcement: Enforcement,
}

#[derive(Deserialize)]
struct ImportedKey {
    key_id: String,
}

/// An error: the API answered, but not with success.
#[derive(Debug)]
pub struct Refused {
    /// The call, such as `POST /v1/keys/generate`.
    pub call: String,
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} answers {}: {}", self.call, self.status, self.body)
    }
}

impl std::error::Error for Refused {}

impl ControlPlane {
    /// Returns the URL of `path` at the API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.options.http)
    }

    /// Opens a session for the administrator.
    ///
    /// # Errors
    /// Fails when it is refused.
    pub async fn login(&self) -> Result<String> {
        let credentials =
            json!({ "email": self.options.admin_email, "password": self.options.admin_password });
        let data = data(
            self.client
                .post(self.url("/v1/sessions"))
                .json(&credentials),
        )
        .await?;
        Ok(data["token"]
            .as_str()
            .context("a session without a token")?
            .to_owned())
    }

    /// Prepares a call in the administrator's session, which the first call opens.
    ///
    /// # Errors
    /// Fails when the log-in is refused.
    pub async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let session = self.session.get_or_try_init(|| self.login()).await?;
        Ok(self
            .client
            .request(method, self.url(path))
            .bearer_auth(session))
    }

    /// Makes a call with a JSON body in the administrator's session, and returns the response's
    /// `data`.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        data(self.request(method, path).await?.json(&body)).await
    }

    /// Reads `path` in the administrator's session, and returns the response's `data`.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn get(&self, path: &str) -> Result<Value> {
        data(self.request(Method::GET, path).await?).await
    }

    /// Makes a change that narrows what keys may do, and returns its enforcement progress when the
    /// API answered.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn change(&self, method: Method, path: &str, body: Value) -> Result<Enforcement> {
        Ok(serde_json::from_value(
            self.call(method, path, body).await?["enforcement"].take(),
        )?)
    }

    /// Replaces the route rules.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn put_routes(&self, routes: Value) -> Result<Enforcement> {
        self.change(Method::PUT, "/v1/routes", routes).await
    }

    /// Creates a subaccount and returns its id, `sub_…`.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn create_subaccount(&self, name: &str) -> Result<String> {
        let made = self
            .call(Method::POST, "/v1/subaccounts", json!({ "name": name }))
            .await?;
        Ok(made["subaccount_id"]
            .as_str()
            .context("a subaccount without an id")?
            .to_owned())
    }

    /// Registers the services in a key's scope that are not registered yet.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API answers neither with success nor that there is such a
    /// service.
    pub(crate) async fn register_services(&self, key: &Value) -> Result<()> {
        for service in key["scope"].as_array().into_iter().flatten() {
            let registered = self
                .call(Method::POST, "/v1/services", json!({ "name": service }))
                .await;
            if let Err(error) = registered
                && error
                    .downcast_ref::<Refused>()
                    .is_none_or(|refused| refused.status != 409)
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Creates a key, such as `{"name": "CI"}`, and registers the services in its scope.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn create_key(&self, key: Value) -> Result<CreatedKey> {
        self.register_services(&key).await?;
        Ok(serde_json::from_value(
            self.call(Method::POST, "/v1/keys/generate", key).await?,
        )?)
    }

    /// Generates a new secret for a key. The old secret remains valid for `overlap_seconds`.
    /// Returns the API's response.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn regenerate(&self, key_id: &str, overlap_seconds: u32) -> Result<Regenerated> {
        let path = format!("/v1/keys/{key_id}/regenerate");
        let body = json!({ "overlap_seconds": overlap_seconds });
        Ok(serde_json::from_value(
            self.call(Method::POST, &path, body).await?,
        )?)
    }

    /// Imports keys, such as `[{"name": "CI", "sha256": "9f86…"}]`, and returns their ids.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn import(&self, keys: Value) -> Result<Vec<String>> {
        let imported = self
            .call(Method::POST, "/v1/keys/import", json!({ "keys": keys }))
            .await?;
        let imported: Vec<ImportedKey> = serde_json::from_value(imported["keys"].clone())?;
        Ok(imported.into_iter().map(|key| key.key_id).collect())
    }

    /// Returns a key as the API shows it.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn key(&self, key_id: &str) -> Result<Value> {
        self.get(&format!("/v1/keys/{key_id}")).await
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn revoke(&self, key_id: &str) -> Result<Enforcement> {
        let mut data = data(
            self.request(Method::DELETE, &format!("/v1/keys/{key_id}"))
                .await?,
        )
        .await?;
        Ok(serde_json::from_value(data["enforcement"].take())?)
    }

    /// Returns the connected Envoys.
    ///
    /// # Errors
    /// Returns [`Refused`] when the API does not answer with success.
    pub async fn nodes(&self) -> Result<Vec<Value>> {
        let reported = self.get("/v1/nodes").await?;
        Ok(reported["nodes"]
            .as_array()
            .context("no nodes in the answer")?
            .clone())
    }

    /// Returns the page `/metrics`.
    ///
    /// # Errors
    /// Fails when it does not answer 200.
    pub async fn metrics(&self) -> Result<String> {
        let response = self
            .client
            .get(self.url("/metrics"))
            .send()
            .await?
            .error_for_status()?;
        Ok(response.text().await?)
    }

    /// Returns one metric, such as `latchkey_stream_snapshots_total{kind="full"}`. It is 0 if the
    /// page does not have it, as for a counter that has counted nothing yet.
    ///
    /// # Errors
    /// Fails when there are no metrics.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let page = self.metrics().await?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.unwrap_or("0").trim().parse()?)
    }
}

/// Sends a request, and returns the response's `data`. Any status but success is [`Refused`].
pub(crate) async fn data(request: RequestBuilder) -> Result<Value> {
    let (client, request) = request.build_split();
    let request = request?;
    let call = format!("{} {}", request.method(), request.url().path());
    let response = client
        .execute(request)
        .await
        .with_context(|| call.clone())?;
    let status = response.status();
    let body = response.text().await?;
    if !status.is_success() {
        return Err(Refused {
            call,
            status: status.as_u16(),
            body,
        }
        .into());
    }
    let mut answer: Value =
        serde_json::from_str(&body).with_context(|| format!("{call} answers no JSON"))?;
    Ok(answer["data"].take())
}
