//! The control plane's API as its administrator calls it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// A call may wait for enforcement; longer than this, it hangs.
const CALL: Duration = Duration::from_secs(30);

/// A client that talks to this machine alone: no proxy, no redirects, and an end to every request.
///
/// # Panics
/// When the client cannot be made, which depends on nothing.
#[must_use]
pub fn http_client() -> reqwest::Client {
    // It fails only if there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(CALL);
    client.build().unwrap()
}

/// A key, with the only sight of its secret.
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
    /// How far the change had come.
    pub enforcement: Enforcement,
}

#[derive(Deserialize)]
struct ImportedKey {
    key_id: String,
}

/// How far a change had come when the API answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Enforcement {
    /// The revision that holds the change.
    pub revision: u64,
    /// How many nodes were connected.
    pub nodes: u64,
    /// How many of them decide by that revision.
    pub acknowledged: u64,
    /// How many of them have no stream and may still serve.
    pub lost: u64,
    /// Whether every node that may still serve decides by that revision.
    pub complete: bool,
    /// How long that took.
    pub elapsed_ms: u64,
}

/// The API answered, but not with success.
#[derive(Debug)]
pub struct Refused {
    /// What was called, such as `POST /v1/keys/generate`.
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
    /// The address of `path` at the API.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.options.http)
    }

    /// Opens a session for the administrator.
    ///
    /// # Errors
    /// When it is refused.
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

    /// A call in the administrator's session, which the first one opens.
    ///
    /// # Errors
    /// When the log-in is refused.
    pub async fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let session = self.session.get_or_try_init(|| self.login()).await?;
        Ok(self
            .client
            .request(method, self.url(path))
            .bearer_auth(session))
    }

    /// A call with a JSON body in the administrator's session: the answer's `data`.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        data(self.request(method, path).await?.json(&body)).await
    }

    /// What the API tells at `path` to the administrator: the answer's `data`.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn get(&self, path: &str) -> Result<Value> {
        data(self.request(Method::GET, path).await?).await
    }

    /// A change that narrows what keys may do: how far it had come when the API answered.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn change(&self, method: Method, path: &str, body: Value) -> Result<Enforcement> {
        Ok(serde_json::from_value(
            self.call(method, path, body).await?["enforcement"].take(),
        )?)
    }

    /// Replaces the route rules.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn put_routes(&self, routes: Value) -> Result<Enforcement> {
        self.change(Method::PUT, "/v1/routes", routes).await
    }

    /// Makes a subaccount; its id, `sub_…`.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn create_subaccount(&self, name: &str) -> Result<String> {
        let made = self
            .call(Method::POST, "/v1/subaccounts", json!({ "name": name }))
            .await?;
        Ok(made["subaccount_id"]
            .as_str()
            .context("a subaccount without an id")?
            .to_owned())
    }

    /// Registers those of the services in a key's scope that are not registered yet.
    ///
    /// # Errors
    /// [`Refused`], when the API answers neither with success nor that there is such a service.
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

    /// Makes a key, such as `{"name": "CI"}`, and registers the services that its scope lists.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn create_key(&self, key: Value) -> Result<CreatedKey> {
        self.register_services(&key).await?;
        Ok(serde_json::from_value(
            self.call(Method::POST, "/v1/keys/generate", key).await?,
        )?)
    }

    /// Gives a key another secret; the old one is good for so many seconds more. What the API
    /// answers.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn regenerate(&self, key_id: &str, overlap_seconds: u32) -> Result<Regenerated> {
        let path = format!("/v1/keys/{key_id}/regenerate");
        let body = json!({ "overlap_seconds": overlap_seconds });
        Ok(serde_json::from_value(
            self.call(Method::POST, &path, body).await?,
        )?)
    }

    /// Imports keys, such as `[{"name": "CI", "sha256": "9f86…"}]`; their ids.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn import(&self, keys: Value) -> Result<Vec<String>> {
        let imported = self
            .call(Method::POST, "/v1/keys/import", json!({ "keys": keys }))
            .await?;
        let imported: Vec<ImportedKey> = serde_json::from_value(imported["keys"].clone())?;
        Ok(imported.into_iter().map(|key| key.key_id).collect())
    }

    /// A key as the API tells of it.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn key(&self, key_id: &str) -> Result<Value> {
        self.get(&format!("/v1/keys/{key_id}")).await
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn revoke(&self, key_id: &str) -> Result<Enforcement> {
        let mut data = data(
            self.request(Method::DELETE, &format!("/v1/keys/{key_id}"))
                .await?,
        )
        .await?;
        Ok(serde_json::from_value(data["enforcement"].take())?)
    }

    /// The connected Envoys.
    ///
    /// # Errors
    /// [`Refused`], when the API does not answer with success.
    pub async fn nodes(&self) -> Result<Vec<Value>> {
        let told = self.get("/v1/nodes").await?;
        Ok(told["nodes"]
            .as_array()
            .context("no nodes in the answer")?
            .clone())
    }

    /// The page `/metrics`.
    ///
    /// # Errors
    /// When it does not answer 200.
    pub async fn metrics(&self) -> Result<String> {
        let response = self
            .client
            .get(self.url("/metrics"))
            .send()
            .await?
            .error_for_status()?;
        Ok(response.text().await?)
    }

    /// One metric, such as `latchkey_stream_snapshots_total{kind="full"}`; 0 when it is not there,
    /// as for a counter that has counted nothing yet.
    ///
    /// # Errors
    /// When there are no metrics.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let page = self.metrics().await?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.unwrap_or("0").trim().parse()?)
    }
}

/// Sends a request; `data` of the answer. Anything else than success is [`Refused`].
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
