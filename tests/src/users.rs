//! Users who are not the administrator, and their calls.

use anyhow::{Context as _, Result};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::api::{CreatedKey, data};
use crate::control_plane::ControlPlane;

const PASSWORD: &str = "a password of a user";

/// A user with a session.
#[derive(Debug, Clone)]
pub struct User {
    /// `usr_…`
    pub user_id: String,
    email: String,
    session: String,
}

impl User {
    /// Returns their email address and password.
    #[must_use]
    pub fn credentials(&self) -> (&str, &str) {
        (&self.email, PASSWORD)
    }
}

impl ControlPlane {
    /// Creates a user and logs them in. `user` is the body of `POST /v1/users`, without the
    /// password.
    ///
    /// # Errors
    /// Returns [`Refused`](crate::Refused) when the API does not answer with success.
    pub async fn create_user(&self, mut user: Value) -> Result<User> {
        user["password"] = PASSWORD.into();
        let created = self.call(Method::POST, "/v1/users", user).await?;
        let email = created["email"]
            .as_str()
            .context("a user without an address")?
            .to_owned();
        let user_id = created["user_id"]
            .as_str()
            .context("a user without an id")?
            .to_owned();
        let login = json!({ "email": email, "password": PASSWORD });
        let opened = data(self.client.post(self.url("/v1/sessions")).json(&login)).await?;
        let session = opened["token"]
            .as_str()
            .context("a session without a token")?
            .to_owned();
        Ok(User {
            user_id,
            email,
            session,
        })
    }

    /// Creates a key owned by `user`, and registers the services in its scope.
    ///
    /// # Errors
    /// Returns [`Refused`](crate::Refused) when the API does not answer with success.
    pub async fn create_key_of(&self, user: &User, key: Value) -> Result<CreatedKey> {
        self.register_services(&key).await?;
        let request = self
            .request_as(user, Method::POST, "/v1/keys/generate")
            .json(&key);
        Ok(serde_json::from_value(data(request).await?)?)
    }

    /// Imports keys owned by `user`.
    ///
    /// # Errors
    /// Returns [`Refused`](crate::Refused) when the API does not answer with success.
    pub async fn import_of(&self, user: &User, keys: Value) -> Result<()> {
        let import = self.request_as(user, Method::POST, "/v1/keys/import");
        data(import.json(&json!({ "keys": keys }))).await.map(drop)
    }

    /// Prepares a request by `user`.
    pub fn request_as(&self, user: &User, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, self.url(path))
            .bearer_auth(&user.session)
    }
}
