//! A logged-in client of a test, and the answers that it gets.

use super::{PASSWORD, Plane, imported};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A logged-in client.
pub(crate) struct Client<'a> {
    pub(super) plane: &'a Plane,
    pub(crate) token: String,
}

impl Client<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.plane.request(method, path).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::DELETE, path)).await
    }

    /// Makes a request with a body.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Value) -> Answer {
        Answer::to(self.request(method, path).json(&body)).await
    }

    pub(crate) async fn generate(&self, body: Value) -> Answer {
        self.send(Method::POST, "/v1/keys/generate", body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, body).await
    }

    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, body).await
    }

    /// Creates a user with the password of the tests, and returns their path.
    pub(crate) async fn user(&self, email: &str, mut holding: Value) -> String {
        holding["email"] = json!(email);
        holding["password"] = json!(PASSWORD);
        let answer = self.send(Method::POST, "/v1/users", holding).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        format!("/v1/users/{}", answer.text("/data/user_id"))
    }

    /// Creates a subaccount of that name, and returns its id.
    pub(crate) async fn subaccount(&self, name: &str) -> String {
        let answer = self
            .send(Method::POST, "/v1/subaccounts", json!({"name": name}))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/data/subaccount_id")
    }

    /// Registers a service of that name.
    pub(crate) async fn service(&self, name: &str) {
        let answer = self
            .send(Method::POST, "/v1/services", json!({"name": name}))
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }

    /// Creates a key of that name, and returns its id.
    pub(crate) async fn key(&self, name: &str) -> String {
        let answer = self.generate(json!({"name": name})).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/data/key_id")
    }

    /// Regenerates a key's secret, and returns the new one.
    pub(crate) async fn regenerate(&self, id: &str, overlap_seconds: u32) -> String {
        let body = json!({"overlap_seconds": overlap_seconds});
        let answer = self
            .send(Method::POST, &format!("/v1/keys/{id}/regenerate"), body)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.text("/data/api_key")
    }

    /// Imports a key by its digest, and returns its id.
    pub(crate) async fn import(&self, name: &str, key: &str) -> String {
        let answer = self
            .send(
                Method::POST,
                "/v1/keys/import",
                json!({"keys": [imported(name, key)]}),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("/data/keys/0/key_id")
    }

    pub(crate) async fn total(&self) -> u64 {
        self.get("/v1/keys").await.number("/data/total")
    }
}

impl<'a> Client<'a> {
    /// Creates an account as the operator, of tier `basic` unless `body` has another. Returns its
    /// path, and its administrator, whose email is `admin@` and the account's name.
    pub(crate) async fn account(&self, name: &str, body: Value) -> (String, Client<'a>) {
        let email = format!("admin@{name}");
        let admin = json!({"email": email, "password": PASSWORD});
        let mut account = json!({"name": name, "tier": "basic", "admin": admin});
        account
            .as_object_mut()
            .unwrap()
            .extend(body.as_object().unwrap().clone());
        let answer = self.send(Method::POST, "/v1/accounts", account).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        (
            format!("/v1/accounts/{}", answer.text("/data/account_id")),
            self.plane.client(&email).await,
        )
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) async fn to(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Self {
            status,
            headers,
            body: response.json().await.expect("a body of JSON"),
        }
    }

    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.body
            .pointer(pointer)
            .unwrap_or_else(|| panic!("no {pointer} in {self:?}"))
    }

    pub(crate) fn text(&self, pointer: &str) -> String {
        self.at(pointer)
            .as_str()
            .unwrap_or_else(|| panic!("{pointer} is no text in {self:?}"))
            .to_owned()
    }

    pub(crate) fn number(&self, pointer: &str) -> u64 {
        self.at(pointer)
            .as_u64()
            .unwrap_or_else(|| panic!("{pointer} is no number in {self:?}"))
    }

    /// Asserts that the response is this error, in the form of all errors.
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status.as_u16(), self.text("/code").as_str()),
            (status, code),
            "{self:?}"
        );
        assert_eq!(self.text("/status"), "error");
        assert!(
            !self.text("/message").is_empty() && self.text("/error").ends_with('.'),
            "{self:?}"
        );
    }

    /// Asserts that the request is refused because of a field.
    pub(crate) fn refused_by(&self, status: u16, code: &str, field: &str) {
        self.refused(status, code);
        assert_eq!(self.body["field"], field, "{self:?}");
    }

    /// Returns `(nodes, acknowledged)` of a response's enforcement.
    pub(crate) fn enforcement(&self) -> (u64, u64) {
        (
            self.number("/data/enforcement/nodes"),
            self.number("/data/enforcement/acknowledged"),
        )
    }
}
