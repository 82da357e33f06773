//! No key, password or session token appears where it was not requested: not in a log, not in a
//! metric, not in the database, not on the stream, not in an error.

mod mistakes;

use std::time::Duration;

use anyhow::ensure;
use latchkey_policy::key::KeyDigest;
use latchkey_tests::{CreatedKey, Gateway, Tap, eventually};
use reqwest::Method;
use serde_json::json;

use self::mistakes::mistakes;
use crate::unknown_key;

const PASSWORD: &str = "correct horse of a user";

const NEW_PASSWORD: &str = "battery staple of a user";

const WRONG_PASSWORD: &str = "no password of anybody";

/// A key that was created elsewhere.
const FOREIGN_KEY: &str = "sk-made-elsewhere-0123456789abcdef";

/// The texts that must not be found.
#[derive(Debug, Default)]
struct Secrets(Vec<String>);

impl Secrets {
    /// Adds a key, and its secret part.
    fn key(&mut self, key: &str) {
        self.0.push(key.to_owned());
        self.0
            .extend(key.rsplit_once('_').map(|(_, secret)| secret.to_owned()));
    }

    fn other(&mut self, secret: &str) {
        self.0.push(secret.to_owned());
    }

    fn assert_absent(&self, places: &[Place]) {
        let found = places
            .iter()
            .filter(|Place(_, bytes)| self.0.iter().any(|secret| holds(bytes, secret.as_bytes())));
        let found: Vec<_> = found.map(|place| &place.0).collect();
        assert!(found.is_empty(), "secrets are in {found:#?}");
    }
}

/// A place to search, by name, and its content.
struct Place(String, Vec<u8>);

fn holds(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

fn place<'p>(places: &'p [Place], name: &str) -> &'p [u8] {
    &places
        .iter()
        .find(|place| place.0 == name)
        .unwrap_or_else(|| panic!("nobody looked at {name}"))
        .1
}

/// Starts a gateway that looks for keys in every possible place, with a tap on its stream.
async fn tapped() -> (Gateway, Tap) {
    let tap = Tap::start().await.unwrap();
    let (entry, exit) = (tap.clone(), tap.clone());
    let gateway = Gateway::builder()
        .control_plane(move |options| {
            exit.lead_to(options.stream);
            options
                .environment
                .push(("RUST_LOG".to_owned(), "debug".to_owned()));
        })
        .envoy(move |envoy| {
            envoy.stream = entry.address();
            envoy.configuration =
                json!({ "credentials": { "query": "key", "cookie": "session_key" } });
        })
        .start()
        .await;
    (gateway, tap)
}

/// Sends the key in every place where the filter looks for one.
async fn knock(gateway: &Gateway, key: &str, status: u16) {
    let (bearer, cookie) = (format!("Bearer {key}"), format!("a=b; session_key={key}"));
    let query = format!("/query?key={key}&a=b");
    for (path, header) in [
        ("/header", Some(("x-api-key", key))),
        ("/bearer", Some(("authorization", bearer.as_str()))),
        ("/cookie", Some(("cookie", cookie.as_str()))),
        (query.as_str(), None),
    ] {
        let answer = gateway.ask_with(path, header.as_slice()).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
}

/// Explains a request with the key at the control plane. The answer identifies the key without
/// containing it.
async fn explain(gateway: &Gateway, key: &str) -> Place {
    let headers = json!({ "x-api-key": key, "authorization": format!("Bearer {key}") });
    let request = json!({ "method": "GET", "path": "/", "headers": headers });
    let reported = gateway
        .control_plane
        .call(Method::POST, "/v1/explain", json!({ "request": request }))
        .await
        .unwrap();
    Place(
        "the explanation".to_owned(),
        reported.to_string().into_bytes(),
    )
}

/// Returns every file that a part has written, every page that it shows, and the stream's bytes.
async fn everywhere(gateway: &Gateway, tap: &Tap) -> Vec<Place> {
    let mut places = Vec::new();
    for entry in std::fs::read_dir(gateway.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        places.push(Place(name, std::fs::read(path).unwrap()));
    }
    for page in [
        "/stats",
        "/stats/prometheus",
        "/config_dump",
        "/clusters",
        "/listeners",
    ] {
        places.push(Place(
            page.to_owned(),
            gateway.envoy.admin_get(page).await.unwrap().into_bytes(),
        ));
    }
    places.push(Place(
        "/metrics".to_owned(),
        gateway.control_plane.metrics().await.unwrap().into_bytes(),
    ));
    for page in [
        "/v1/audit",
        "/v1/keys",
        "/v1/users",
        "/v1/usage",
        "/v1/nodes",
        "/openapi.json",
    ] {
        let call = gateway
            .control_plane
            .request(Method::GET, page)
            .await
            .unwrap();
        places.push(Place(
            page.to_owned(),
            call.send().await.unwrap().bytes().await.unwrap().into(),
        ));
    }
    places.push(Place("the stream".to_owned(), tap.bytes()));
    places
}

async fn user(gateway: &Gateway, secrets: &mut Secrets) -> String {
    let control_plane = &gateway.control_plane;
    let body = json!({ "email": "somebody@example.com", "password": PASSWORD, "roles": ["read_only_admin"] });
    let user = control_plane
        .call(Method::POST, "/v1/users", body)
        .await
        .unwrap();
    let path = format!("/v1/users/{}", user["user_id"].as_str().unwrap());
    control_plane
        .call(Method::PATCH, &path, json!({ "password": NEW_PASSWORD }))
        .await
        .unwrap();
    let body = json!({ "email": "somebody@example.com", "password": NEW_PASSWORD });
    let session = control_plane
        .call(Method::POST, "/v1/sessions", body)
        .await
        .unwrap();
    for secret in [
        PASSWORD,
        NEW_PASSWORD,
        WRONG_PASSWORD,
        control_plane.credentials().1,
    ] {
        secrets.other(secret);
    }
    let token = session["token"].as_str().unwrap().to_owned();
    secrets.other(&token);
    token
}

fn mistyped(key: &str) -> String {
    let (rest, last) = key.split_at(key.len() - 1);
    format!("{rest}{}", if last == "x" { "y" } else { "x" })
}

#[tokio::test]
async fn secrets_are_nowhere_but_where_requested() {
    let (gateway, tap) = tapped().await;
    let control_plane = &gateway.control_plane;
    let mut secrets = Secrets::default();
    let token = user(&gateway, &mut secrets).await;
    let mut keys = Vec::new();
    for key in [
        json!({ "name": "plain" }),
        json!({ "name": "limited", "limits": { "month": 4 }, "environment": "test" }),
        json!({ "name": "from afar", "denied_ips": ["127.0.0.1"], "allowed_ips": [] }),
        json!({ "name": "revoked", "allowed_ips": ["127.0.0.0/8", { "cidr": "::1", "enabled": false }] }),
    ] {
        let made = control_plane.create_key(key).await.unwrap();
        secrets.key(&made.api_key);
        keys.push(made);
    }
    let [plain, limited, afar, revoked]: [CreatedKey; 4] = keys.try_into().unwrap();
    let renewed = control_plane
        .regenerate(&plain.key_id, 3_600)
        .await
        .unwrap()
        .api_key;
    secrets.key(&renewed);
    secrets.other(FOREIGN_KEY);
    let digest = format!("{:?}", KeyDigest::of(FOREIGN_KEY.as_bytes()));
    control_plane
        .import(json!([{ "name": "imported", "sha256": digest }]))
        .await
        .unwrap();
    let session = control_plane.login().await.unwrap();
    secrets.other(&session);
    let (typo, unknown) = (mistyped(&plain.api_key), unknown_key());
    secrets.key(&typo);
    secrets.key(&unknown);

    control_plane.revoke(&revoked.key_id).await.unwrap();
    for (key, status) in [
        (&plain, 200),
        (&limited, 200),
        (&limited, 429),
        (&afar, 403),
        (&revoked, 401),
    ] {
        knock(&gateway, &key.api_key, status).await;
    }
    for key in [&typo, &unknown] {
        knock(&gateway, key, 401).await;
    }
    for key in [renewed.as_str(), FOREIGN_KEY] {
        knock(&gateway, key, 200).await;
    }
    let mut answers = Vec::new();
    for secret in [&plain.api_key, &typo, &revoked.api_key] {
        answers.extend(mistakes(&gateway, secret).await);
        answers.push(explain(&gateway, secret).await);
    }
    answers.extend(mistakes(&gateway, &token).await);
    // This session is ended, so that the deleted sessions are searched, too.
    let ended = gateway
        .client
        .delete(control_plane.url("/v1/sessions/current"))
        .bearer_auth(&session);
    assert_eq!(ended.send().await.unwrap().status(), 200);

    let reported = eventually(Duration::from_secs(5), async || {
        ensure!(
            gateway
                .envoy
                .access_log()
                .iter()
                .any(|line| line["key"] == plain.key_id),
            "nothing is logged yet"
        );
        Ok(())
    });
    reported.await.unwrap();
    let mut places = everywhere(&gateway, &tap).await;
    places.extend(answers);
    // First checks that the search finds a text that is there.
    let mask = format!(
        "{}...{}",
        &plain.api_key[..12],
        &plain.api_key[plain.api_key.len() - 4..]
    );
    let database = [
        place(&places, "latchkey.db"),
        place(&places, "latchkey.db-wal"),
    ]
    .concat();
    for (what, found) in [
        (
            "the mask in the database",
            holds(&database, mask.as_bytes()),
        ),
        (
            "the digest in the database",
            holds(&database, &KeyDigest::of(plain.api_key.as_bytes()).0),
        ),
        (
            "the digest on the stream",
            holds(
                place(&places, "the stream"),
                &KeyDigest::of(plain.api_key.as_bytes()).0,
            ),
        ),
        (
            "the key's id in the control plane's log",
            holds(place(&places, "control-plane.log"), plain.key_id.as_bytes()),
        ),
        (
            "statements in the control plane's log",
            holds(place(&places, "control-plane.log"), b"INSERT INTO keys"),
        ),
        (
            "the key's id in the access log",
            holds(place(&places, "envoy-access.log"), plain.key_id.as_bytes()),
        ),
        (
            "verdicts in Envoy's stats",
            holds(place(&places, "/stats"), b"latchkey_requests.malformed_key"),
        ),
        (
            "the filter in Envoy's configuration",
            holds(place(&places, "/config_dump"), b"session_key"),
        ),
        (
            "the key's id in its explanation",
            holds(place(&places, "the explanation"), plain.key_id.as_bytes()),
        ),
    ] {
        assert!(found, "{what} is not found, so nothing would be");
    }
    secrets.assert_absent(&places);
}
