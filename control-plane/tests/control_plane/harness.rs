//! The control plane of a test, and a logged-in client.

use clap::Parser as _;
use latchkey_control_plane::{Config, Running, StartError, start_with_clock, tls};
use latchkey_model::clock::Clock;
use latchkey_policy::key::{Environment, KeyDigest, KeyFormat, PlainKey};
use latchkey_policy::limit::Window;
use latchkey_store::{AtRestKey, AtRestKeys};
use latchkey_store::{NewKey, OpenMode, Store};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub(crate) const NODE_TOKEN: &str = "node-token-of-the-tests";
pub(crate) const EMAIL: &str = "admin@localhost";
/// The default key that encrypts imported keys.
pub(crate) const AT_REST_KEY: &str =
    "a7b51a1e77c3a0a5d6b7a3a9f1d2e3c4b5a697887766554433221100ffeeddcc";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The time at which tests start: 2027-01-15T08:00:00Z.
pub(crate) const START: i64 = 1_800_000_000;

#[derive(Clone)]
pub(crate) struct FakeClock(Arc<AtomicI64>);

impl Clock for FakeClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

impl FakeClock {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

pub(crate) struct Plane {
    pub(crate) clock: FakeClock,
    flags: Vec<String>,
    /// The at-rest key of the next start.
    pub(crate) at_rest_key: Option<String>,
    directory: TempDir,
    running: Option<Running>,
    http: reqwest::Client,
    owner: OnceCell<(String, String)>,
}

impl Plane {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a control plane with additional flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        Self::start_after(flags, async |_| {}).await
    }

    /// Starts a control plane after `prepare`, which gets the path of the future database.
    pub(crate) async fn start_after(flags: &[&str], prepare: impl AsyncFnOnce(&Path)) -> Self {
        let mut plane = Self {
            clock: FakeClock(Arc::new(AtomicI64::new(START))),
            flags: flags.iter().map(ToString::to_string).collect(),
            at_rest_key: Some(AT_REST_KEY.to_owned()),
            directory: tempfile::tempdir().unwrap(),
            running: None,
            http: http_client(),
            owner: OnceCell::new(),
        };
        prepare(&plane.database()).await;
        plane.run().await;
        plane
    }

    /// Starts again after [`take`](Self::take).
    pub(crate) async fn run(&mut self) {
        self.try_run().await.unwrap();
    }

    /// Starts again after [`take`](Self::take), or returns the error.
    pub(crate) async fn try_run(&mut self) -> Result<(), StartError> {
        let needed = [
            "--http-listen=127.0.0.1:0",
            "--stream-listen=127.0.0.1:0",
            "--create-database",
        ]
        .map(str::to_owned);
        let secrets = [
            format!("--node-token={NODE_TOKEN}"),
            format!("--admin-password={PASSWORD}"),
        ];
        let database = format!("--database={}", self.database().display());
        let key = self
            .at_rest_key
            .iter()
            .map(|key| format!("--at-rest-key={key}"));
        let flags = needed
            .into_iter()
            .chain(secrets)
            .chain([database])
            .chain(key)
            .chain(self.flags.iter().cloned());
        let config = Config::try_parse_from(flags).unwrap();
        self.running = Some(start_with_clock(config, Arc::new(self.clock.clone())).await?);
        Ok(())
    }

    /// Takes the running control plane out, to end it while requests are open.
    pub(crate) fn take(&mut self) -> Running {
        self.running.take().unwrap()
    }

    /// Stops and starts again, on the same database and other ports.
    pub(crate) async fn restart(&mut self) {
        self.take().shutdown().await;
        self.run().await;
    }

    /// Ends without a shutdown, and starts again.
    pub(crate) async fn crash(&mut self) {
        drop(self.take());
        // Open connections would keep their tasks running.
        self.http = http_client();
        let started = Instant::now();
        // Unfinished writes hold the database for a moment.
        while Store::open_with(
            &self.database(),
            OpenMode::CreateIfMissing,
            &self.at_rest_keys(),
        )
        .await
        .is_err()
        {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the database is still in use"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.run().await;
    }

    fn at_rest_keys(&self) -> AtRestKeys {
        AtRestKeys {
            current: self.at_rest_key.as_deref().and_then(AtRestKey::from_hex),
            old: None,
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.path().join("latchkey.db")
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn store(&self) -> &Store {
        self.running().store()
    }

    pub(crate) fn stream_url(&self) -> String {
        format!("http://{}", self.running().stream_addr)
    }

    pub(crate) fn http_url(&self) -> String {
        format!("http://{}", self.running().http_addr)
    }

    /// Builds a request without a session.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.http_url() + path)
    }

    pub(crate) async fn log_in_as(&self, email: &str, password: &str) -> Answer {
        let request = self
            .request(Method::POST, "/v1/sessions")
            .json(&json!({"email": email, "password": password}));
        Answer::to(request).await
    }

    pub(crate) async fn log_in(&self) -> Client<'_> {
        self.client(EMAIL).await
    }

    /// Logs in a user who has the password of all test users.
    pub(crate) async fn client(&self, email: &str) -> Client<'_> {
        let answer = self.log_in_as(email, PASSWORD).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        Client {
            plane: self,
            token: answer.text("/data/token"),
        }
    }

    /// Returns a client with this token: a session token or an API key.
    pub(crate) fn bearer(&self, token: &str) -> Client<'_> {
        Client {
            plane: self,
            token: token.to_owned(),
        }
    }

    /// Returns the value of a metric, whose name includes its labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self
            .request(Method::GET, "/metrics")
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .parse()
            .unwrap()
    }

    /// Creates `count` keys named `<prefix>-0` and so on in one batch, without the API.
    pub(crate) async fn create_keys(&self, prefix: &str, count: usize) -> Vec<(PlainKey, String)> {
        self.create_keys_of("basic", prefix, count).await
    }

    pub(crate) async fn create_keys_of(
        &self,
        tier: &str,
        prefix: &str,
        count: usize,
    ) -> Vec<(PlainKey, String)> {
        let owner = self.owner().await;
        let secrets: Vec<_> = (0..count).map(|_| plain_key()).collect();
        let new = |(index, secret)| {
            let name = format!("{prefix}-{index}");
            NewKey::new(&owner.0, &owner.1, &name, secret, tier, Environment::Live)
        };
        let keys: Vec<_> = secrets.iter().enumerate().map(new).collect();
        let created = self.store().create_keys(&keys, START).await.unwrap();
        let ids = created.keys.into_iter().map(|key| key.id);
        secrets.into_iter().zip(ids).collect()
    }

    /// Returns the first user's account and id.
    pub(crate) async fn owner(&self) -> &(String, String) {
        let rows = "SELECT account_id, id FROM users ORDER BY created_at LIMIT 1";
        self.owner
            .get_or_init(async || {
                sqlx::query_as(rows)
                    .fetch_one(&self.pool().await)
                    .await
                    .unwrap()
            })
            .await
    }

    /// Records the use of a key on the day of `now`, so that the control plane trusts its clock.
    pub(crate) async fn use_a_key_on(&self, now: i64) {
        let statement = "INSERT OR IGNORE INTO window_counts (kind, number, key_seq, count) VALUES (3, ?, 1, 1)";
        sqlx::query(statement)
            .bind(Window::Day.number(now))
            .execute(&self.pool().await)
            .await
            .unwrap();
    }

    /// Opens the database directly, without the control plane.
    pub(crate) async fn pool(&self) -> sqlx::SqlitePool {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.database());
        sqlx::SqlitePool::connect_with(options).await.unwrap()
    }
}

pub(crate) fn http_client() -> reqwest::Client {
    tls::init();
    reqwest::Client::new()
}

pub(crate) fn plain_key() -> PlainKey {
    KeyFormat::default()
        .generate(Environment::Live, getrandom::fill)
        .unwrap()
}

/// Returns a row for the import of a key.
pub(crate) fn imported(name: &str, key: &str) -> Value {
    json!({"name": name, "sha256": format!("{:?}", KeyDigest::of(key.as_bytes()))})
}

/// A logged-in client.
pub(crate) struct Client<'a> {
    plane: &'a Plane,
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
