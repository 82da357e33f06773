//! The control plane of a test.

mod client;

pub(crate) use self::client::{Answer, Client};
use clap::Parser as _;
use latchkey_control_plane::{Config, Running, StartError, start_with_clock, tls};
use latchkey_model::clock::Clock;
use latchkey_policy::key::{Environment, KeyDigest, KeyFormat, PlainKey};
use latchkey_policy::limit::Window;
use latchkey_store::{AtRestKey, AtRestKeys, NewKey, OpenMode, Store};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::fs;
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

    /// Copies the file of the database while no control plane runs. The log is written back first:
    /// a connection of [`Self::pool`] that is still closing may have left it beside the file.
    pub(crate) async fn copy_database(&self, to: &Path) {
        let pool = self.pool().await;
        let checkpoint = sqlx::query_scalar("PRAGMA wal_checkpoint(TRUNCATE)");
        let busy: i64 = checkpoint.fetch_one(&pool).await.unwrap();
        assert_eq!(busy, 0, "the database is in use");
        pool.close().await;
        fs::copy(self.database(), to).unwrap();
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
