//! The control plane's API as the trial calls it: independent of the process, which is locked while
//! a fault lasts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{ControlPlane, http_client};
use reqwest::Method;
use serde_json::{Value, json};

/// The timeout of a call. It is longer than any wait for enforcement, and short enough that a
/// suspended control plane does not hold a change for long.
const CALL: Duration = Duration::from_secs(6);

/// The result of a call.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// The change is acknowledged by each node. `at` is the time when the answer was read, and
    /// `took` the duration of the call.
    Complete {
        data: Value,
        at: Instant,
        took: Duration,
    },
    /// The change is made, but a node that may still serve has not acknowledged it.
    Incomplete { data: Value },
    /// The key does not exist.
    Gone,
    /// The result is unknown: there was no answer, or one that says so.
    Unknown,
}

/// A client that calls in the administrator's session.
#[derive(Debug)]
pub(crate) struct Api {
    client: reqwest::Client,
    base: String,
    email: String,
    password: String,
    session: Mutex<String>,
}

impl Api {
    /// Creates a client and logs in.
    pub(crate) async fn open(control_plane: &ControlPlane) -> Result<Self> {
        let (email, password) = control_plane.credentials();
        let session = Mutex::default();
        let (email, password) = (email.to_owned(), password.to_owned());
        let api = Self {
            client: http_client(),
            base: control_plane.url(""),
            email,
            password,
            session,
        };
        api.log_in().await?;
        Ok(api)
    }

    async fn log_in(&self) -> Result<()> {
        let token = self.session_of(&self.email, &self.password).await?;
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    /// Opens a session of a user.
    pub(crate) async fn session_of(&self, email: &str, password: &str) -> Result<String> {
        let credentials = json!({ "email": email, "password": password });
        let call = self
            .client
            .post(format!("{}/v1/sessions", self.base))
            .timeout(CALL)
            .json(&credentials);
        let answer: Value = call.send().await?.error_for_status()?.json().await?;
        Ok(answer["data"]["token"]
            .as_str()
            .context("a session without a token")?
            .to_owned())
    }

    async fn send(
        &self,
        session: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let mut call = self
            .client
            .request(method, format!("{}{path}", self.base))
            .timeout(CALL)
            .bearer_auth(session);
        if let Some(body) = body {
            call = call.json(body);
        }
        let answer = call.send().await?;
        let status = answer.status().as_u16();
        let mut body: Value = answer.json().await?;
        let data = if status < 300 {
            body["data"].take()
        } else {
            body
        };
        Ok((status, data))
    }

    fn session(&self) -> String {
        self.session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes a change, and returns its outcome when it was answered.
    pub(crate) async fn change(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome {
        let sent = Instant::now();
        let answer = self.send(&self.session(), method, path, body).await;
        let at = Instant::now();
        match answer {
            Ok((200 | 201, data)) => {
                let enforcement = &data["enforcement"];
                // Answers of version 0.1 have no `complete`.
                let complete = enforcement["acknowledged"] == enforcement["nodes"]
                    && enforcement["complete"] != false;
                if complete {
                    Outcome::Complete {
                        data,
                        at,
                        took: at - sent,
                    }
                } else {
                    Outcome::Incomplete { data }
                }
            }
            Ok((404, _)) => Outcome::Gone,
            Ok((401, _)) => {
                // `restore` ends all sessions.
                let _ = self.log_in().await;
                Outcome::Unknown
            }
            Ok((status @ (400 | 403 | 409 | 422), body)) => {
                eprintln!("latchkey-chaos: {path} answers {status}: {body}");
                Outcome::Unknown
            }
            _ => Outcome::Unknown,
        }
    }

    /// Returns the API's response at `path`.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        let (mut status, mut data) = self.send(&self.session(), Method::GET, path, None).await?;
        if status == 401 {
            self.log_in().await?;
            (status, data) = self.send(&self.session(), Method::GET, path, None).await?;
        }
        ensure!(status == 200, "{path} answers {status}: {data}");
        Ok(data)
    }

    /// Makes a call that has to succeed, in the session `session` or the administrator's.
    pub(crate) async fn make(
        &self,
        session: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value> {
        let own = self.session();
        let (status, data) = self
            .send(session.unwrap_or(&own), method, path, Some(body))
            .await?;
        ensure!(status < 300, "{path} answers {status}: {data}");
        Ok(data)
    }

    /// Returns true if the key is revoked; none if there is no such key.
    pub(crate) async fn revoked(&self, key_id: &str) -> Result<Option<bool>> {
        let path = format!("/v1/keys/{key_id}");
        let (status, data) = self.send(&self.session(), Method::GET, &path, None).await?;
        if status == 404 {
            return Ok(None);
        }
        ensure!(status == 200, "{path} answers {status}: {data}");
        Ok(Some(data["revoked_at"].is_string()))
    }
}
