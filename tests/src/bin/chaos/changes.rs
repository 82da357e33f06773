//! Changes of keys, owners and routes, each of which is followed until every node has acknowledged
//! it.

mod routes;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use latchkey_tests::{SeededRng, request};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::routes::{ROUTES, change_routes, document, routes};
use crate::api::Outcome;
use crate::model::{Expectation, Subject, Violation};
use crate::settings::between;
use crate::world::{Revoked, Target, World};

/// The range of times for which a subject stays as it is.
const HOLD: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(700)];

/// The delay before an incomplete call is repeated.
const AGAIN: Duration = Duration::from_millis(150);

/// The longest time that a change may take while only listeners are updated.
const CALM: Duration = Duration::from_millis(2_500);

/// The number of times that a change is repeated once changes end.
const LAST_TRIES: usize = 100;

/// The limit per minute of the key whose admissions are counted.
pub(crate) const LIMIT: u64 = 60;

const UNTOUCHED: usize = 4;

const REVOKERS: usize = 6;

/// A change that closes or opens a subject, sent until it is known to be made.
struct Change<'a> {
    kind: &'static str,
    subject: Subject,
    closes: bool,
    method: Method,
    path: &'a str,
    body: Option<Value>,
    /// True if the change gives the key an expiry in the next second. It takes effect then.
    expires: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Settled {
    Complete,
    Gone,
    Abandoned,
}

/// Makes all keys, owners and routes, and the tasks that change them.
pub(crate) async fn start(
    world: &Arc<World>,
    rng: &mut SeededRng,
    tasks: &mut JoinSet<()>,
) -> Result<()> {
    let key = world
        .api
        .make(None, Method::POST, "/v1/keys/generate", &key_body("routes"))
        .await?;
    let routes = routes(world, key["api_key"].as_str());
    world
        .api
        .make(None, Method::PUT, "/v1/routes", &document(&[true; ROUTES]))
        .await?;
    for number in 0..UNTOUCHED {
        let (target, _) = make_key(
            world,
            None,
            &format!("untouched {number}"),
            Expectation::Untouched,
            "/",
        )
        .await?;
        world.targets().untouched.push(target);
    }
    let limited = json!({ "name": "limited", "limits": { "minute": LIMIT } });
    let limited = world
        .api
        .make(None, Method::POST, "/v1/keys/generate", &limited)
        .await?;
    let subject = world
        .model()
        .add("limited".to_owned(), Expectation::Unknown);
    world.targets().limited = Some(target(subject, "/", limited["api_key"].as_str()));

    let kinds: [(&'static str, usize); 3] = [("disable", 4), ("expiry", 2), ("IP list", 2)];
    for (kind, count) in kinds {
        for number in 0..count {
            let name = format!("{kind} {number}");
            let (target, key_id) = make_key(world, None, &name, Expectation::Unknown, "/").await?;
            let path = format!("/v1/keys/{key_id}");
            tasks.spawn_local(toggle(
                world.clone(),
                target,
                kind,
                path,
                SeededRng(rng.number()),
            ));
        }
    }
    for number in 0..2 {
        let (target, path) = make_owner(world, number).await?;
        tasks.spawn_local(toggle(
            world.clone(),
            target,
            "owner",
            path,
            SeededRng(rng.number()),
        ));
    }
    for number in 0..REVOKERS {
        tasks.spawn_local(revoke(world.clone(), number, SeededRng(rng.number())));
    }
    tasks.spawn_local(change_routes(
        world.clone(),
        routes,
        SeededRng(rng.number()),
    ));
    Ok(())
}

fn target(subject: Subject, path: &str, api_key: Option<&str>) -> Target {
    let header = api_key.map(|key| ("x-api-key", key));
    Target {
        subject,
        request: request("GET", path, header.as_slice()).into(),
    }
}

fn key_body(name: &str) -> Value {
    json!({ "name": name, "roles": ["dns_manager"], "limits": { "minute": u32::MAX } })
}

async fn make_key(
    world: &World,
    session: Option<&str>,
    name: &str,
    expectation: Expectation,
    path: &str,
) -> Result<(Target, String)> {
    let data = world
        .api
        .make(session, Method::POST, "/v1/keys/generate", &key_body(name))
        .await?;
    let subject = world.model().add(name.to_owned(), expectation);
    let target = target(subject, path, data["api_key"].as_str());
    if expectation == Expectation::Unknown {
        world.targets().changing.insert(subject, target.clone());
    }
    Ok((
        target,
        data["key_id"]
            .as_str()
            .context("a key without an id")?
            .to_owned(),
    ))
}

/// Creates a user with a key whose permission comes from the user.
async fn make_owner(world: &World, number: usize) -> Result<(Target, String)> {
    let (email, password) = (
        format!("owner-{number}@example.com"),
        "a password of an owner",
    );
    let user = json!({ "email": email, "password": password, "roles": ["dns_manager"],
        "permissions": ["account:apikeys:create"] });
    let user = world
        .api
        .make(None, Method::POST, "/v1/users", &user)
        .await?;
    let session = world.api.session_of(&email, password).await?;
    let name = format!("owner {number}");
    let (target, _) =
        make_key(world, Some(&session), &name, Expectation::Unknown, "/owned").await?;
    let user_id = user["user_id"].as_str().context("a user without an id")?;
    Ok((target, format!("/v1/users/{user_id}")))
}

/// Closes and opens a subject in turn, in the ways of its kind.
async fn toggle(
    world: Arc<World>,
    target: Target,
    kind: &'static str,
    path: String,
    mut rng: SeededRng,
) {
    // The opening change undoes every way: the database may have been rolled back to another one.
    let ways = match kind {
        "disable" => vec![(json!({ "active": false }), json!({ "active": true }))],
        // The closing change names a time.
        "expiry" => vec![(Value::Null, json!({ "expires_at": null }))],
        "IP list" => vec![
            (
                json!({ "denied_ips": ["127.0.0.0/8"] }),
                json!({ "denied_ips": [], "allowed_ips": [] }),
            ),
            (
                json!({ "allowed_ips": ["203.0.113.1"] }),
                json!({ "denied_ips": [], "allowed_ips": [] }),
            ),
        ],
        _ => vec![
            (
                json!({ "disabled": true }),
                json!({ "disabled": false, "roles": ["dns_manager"] }),
            ),
            (
                json!({ "roles": [] }),
                json!({ "disabled": false, "roles": ["dns_manager"] }),
            ),
        ],
    };
    let mut open = true;
    let mut way = 0;
    while !world.changes_end.load(Ordering::SeqCst) {
        let (close, reopen) = &ways[way];
        let body = Some(if open { close } else { reopen }.clone());
        let (subject, method, path) = (target.subject, Method::PATCH, path.as_str());
        let expires = open && kind == "expiry";
        let change = Change {
            kind,
            subject,
            closes: open,
            method,
            path,
            body,
            expires,
        };
        if settle(&world, &change).await == Settled::Gone {
            world.violated(Violation::Broken, format!("the subject of {kind} is gone"));
            return;
        }
        open = !open;
        if open {
            way = rng.below(ways.len());
        }
        sleep(between(&mut rng, HOLD[0], HOLD[1])).await;
    }
}

/// Creates keys, one after the other, and revokes them.
async fn revoke(world: Arc<World>, number: usize, mut rng: SeededRng) {
    let mut made = 0;
    while !world.changes_end.load(Ordering::SeqCst) {
        made += 1;
        let name = format!("revoke {number}.{made}");
        let gate = world.gate.read().await;
        let outcome = world
            .api
            .change(Method::POST, "/v1/keys/generate", Some(&key_body(&name)))
            .await;
        let (Outcome::Complete { data, .. } | Outcome::Incomplete { data }) = &outcome else {
            drop(gate);
            sleep(AGAIN).await;
            continue;
        };
        let subject = world.model().add(name, Expectation::Unknown);
        if let Outcome::Complete { at, took, .. } = outcome {
            world.model().opened(subject, at);
            world.figures.changed("create", took);
        }
        let target = target(subject, "/", data["api_key"].as_str());
        let key_id = data["key_id"].as_str().unwrap_or_default().to_owned();
        world.targets().changing.insert(subject, target.clone());
        drop(gate);
        sleep(between(&mut rng, HOLD[0], HOLD[1])).await;

        RevokedKey { target, key_id }.settle(&world).await;
    }
}

/// A key that is revoked in two steps.
pub(crate) struct RevokedKey {
    target: Target,
    key_id: String,
}

impl RevokedKey {
    /// Creates the key.
    pub(crate) async fn create(world: &World, name: String) -> Result<Self> {
        let (target, key_id) = make_key(world, None, &name, Expectation::Unknown, "/").await?;
        Ok(Self { target, key_id })
    }

    /// Revokes it without waiting for any node. The caller holds the gate.
    pub(crate) async fn begin(&self, world: &World) {
        // `settle` finds out the result.
        world
            .api
            .change(
                Method::DELETE,
                &format!("/v1/keys/{}?wait_ms=1", self.key_id),
                None,
            )
            .await;
    }

    /// Revokes it until that is complete. From then on requests use it as a revoked key.
    pub(crate) async fn settle(self, world: &World) {
        let Self { target, key_id } = self;
        let path = format!("/v1/keys/{key_id}");
        let (method, path, subject) = (Method::DELETE, path.as_str(), target.subject);
        let change = Change {
            kind: "revoke",
            subject,
            closes: true,
            method,
            path,
            body: None,
            expires: false,
        };
        if settle(world, &change).await == Settled::Complete {
            world.archive(Revoked { target, key_id });
        } else {
            // The key is lost with the database, or not known to be revoked everywhere.
            world.targets().changing.remove(&subject);
        }
    }
}

/// Sends a change until it is complete. The model knows of it before a rollback can happen.
async fn settle(world: &World, change: &Change<'_>) -> Settled {
    let mut last_tries = 0;
    loop {
        let gate = world.gate.read().await;
        world.model().changing(change.subject);
        let calm = world.is_calm();
        let wait = if calm { CALM } else { Duration::from_secs(1) };
        let path = format!("{}?wait_ms={}", change.path, wait.as_millis());
        let expiry = json!({ "expires_at": unix_now() + 1 });
        let body = if change.expires {
            Some(&expiry)
        } else {
            change.body.as_ref()
        };
        let outcome = world.api.change(change.method.clone(), &path, body).await;
        match outcome {
            Outcome::Complete { at, took, .. } => {
                let at = if change.expires { at + until(body) } else { at };
                let mut model = world.model();
                if change.closes {
                    model.closed(change.subject, at);
                } else {
                    model.opened(change.subject, at);
                }
                drop(model);
                world.figures.changed(change.kind, took);
                return Settled::Complete;
            }
            Outcome::Gone => return Settled::Gone,
            Outcome::Incomplete { data } => {
                world.figures.incomplete.fetch_add(1, Ordering::Relaxed);
                if calm && world.is_calm() {
                    let text = format!("{}: {}", change.path, data["enforcement"]);
                    world.violated(Violation::SlowUpdate, text);
                }
            }
            Outcome::Unknown => {
                world.figures.unknown.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(gate);
        if world.changes_end.load(Ordering::SeqCst) {
            last_tries += 1;
            if last_tries > LAST_TRIES {
                return Settled::Abandoned;
            }
        }
        sleep(AGAIN).await;
    }
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Returns the time from now to the expiry that the body sets.
fn until(body: Option<&Value>) -> Duration {
    let expiry = body
        .and_then(|body| body["expires_at"].as_u64())
        .unwrap_or(0);
    let expiry = UNIX_EPOCH + Duration::from_secs(expiry);
    expiry.duration_since(SystemTime::now()).unwrap_or_default()
}
