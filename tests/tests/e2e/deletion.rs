//! Deletion of users with many keys: it is immediate, and delays nobody else.

use std::time::{Duration, Instant};

use latchkey_policy::key::{Environment, KeyDigest, KeyFormat};
use latchkey_tests::{ControlPlane, Gateway, Load, Sample, User, eventually, http_client, request};
use reqwest::Method;
use serde_json::{Value, json};

const CONNECTIONS: usize = 32;

/// The number of keys in one call.
const IMPORTED: usize = 1_000;

/// Returns the key with that number, which depends on nothing else.
fn secret(number: usize) -> String {
    let fill = |bytes: &mut [u8]| {
        let mut digest = KeyDigest::of(&number.to_le_bytes()).0.into_iter().cycle();
        bytes.fill_with(|| digest.next().unwrap());
        // The generator would draw again for other bytes.
        bytes.iter_mut().for_each(|byte| *byte %= 128);
        Ok::<_, std::convert::Infallible>(())
    };
    let Ok(key) = KeyFormat::default().generate(Environment::Live, fill);
    key.expose().to_owned()
}

/// Creates a user with `keys` keys, of which `distinct` have a policy each.
async fn user_with_keys(control_plane: &ControlPlane, keys: usize, distinct: bool) -> User {
    let user = json!({ "email": "zoe@example.com", "roles": ["admin"] });
    let user = control_plane.create_user(user).await.unwrap();
    for first in (0..keys).step_by(IMPORTED) {
        let row = |number| {
            let sha256 = format!("{:?}", KeyDigest::of(secret(number).as_bytes()));
            let limit = if distinct {
                1_000_000 + number
            } else {
                1_000_000
            };
            json!({ "name": format!("zoe {number}"), "sha256": sha256, "limits": { "minute": limit } })
        };
        let rows: Vec<Value> = (first..keys.min(first + IMPORTED)).map(row).collect();
        control_plane.import_of(&user, rows.into()).await.unwrap();
    }
    user
}

/// The measured durations of a deletion.
#[derive(Debug)]
struct Seen {
    /// The time until the call was answered.
    answered: Duration,
    /// The time until the last key's row was removed.
    removed: Duration,
    /// The durations of other users' changes during the deletion.
    others: Vec<Duration>,
}

/// Deletes the user, while another user creates keys until all of the deleted user's keys are
/// removed. Also checks that the answer is true.
async fn delete(gateway: &Gateway, user: &User, keys: usize) -> Seen {
    let control_plane = &gateway.control_plane;
    let path = format!("/v1/users/{}", user.user_id);
    let began = Instant::now();
    let mut deletion = std::pin::pin!(control_plane.call(Method::DELETE, &path, json!({})));
    let (mut answered, mut others, mut number) = (None, Vec::new(), 0);
    loop {
        let other = async {
            number += 1;
            let began = Instant::now();
            control_plane
                .create_key(json!({ "name": format!("other {number}") }))
                .await
                .unwrap();
            began.elapsed()
        };
        tokio::select! {
            answer = &mut deletion, if answered.is_none() => {
                let answer = answer.unwrap();
                let enforcement = &answer["enforcement"];
                assert_eq!((&enforcement["nodes"], &enforcement["acknowledged"]), (&json!(1), &json!(1)), "{answer}");
                assert_eq!(answer["revoked_keys"], keys);
                answered = Some(began.elapsed());
            }
            took = other => others.push(took),
        }
        if answered.is_some()
            && control_plane
                .log()
                .contains("all keys of an owner are removed")
        {
            break;
        }
    }
    Seen {
        answered: answered.unwrap(),
        removed: began.elapsed(),
        others,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_users_keys_are_refused() {
    const KEYS: usize = 5_000;
    let gateway = Gateway::start().await;
    let user = user_with_keys(&gateway.control_plane, KEYS, true).await;
    // Includes the keys that are removed last, and those that are removed first.
    let requests = (0..CONNECTIONS).map(|number| {
        let number = if number % 2 == 0 {
            KEYS - 1 - number
        } else {
            number
        };
        request("GET", "/", &[("x-api-key", &secret(number))])
    });
    for number in [0, KEYS - 1] {
        assert_eq!(gateway.ask("/", Some(&secret(number))).await.status, 200);
    }
    let load = Load::start(gateway.envoy.gateway(), requests);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    let seen = delete(&gateway, &user, KEYS).await;
    let answered = began + seen.answered;
    let samples: Vec<Sample> = load.stop().await.concat();
    assert!(
        samples
            .iter()
            .all(|sample| matches!(sample.status, 200 | 401)),
        "{samples:?}"
    );
    let before = samples
        .iter()
        .filter(|sample| sample.start < answered && sample.status == 200)
        .count();
    let after = samples
        .iter()
        .filter(|sample| sample.start > answered)
        .count();
    let late = samples
        .iter()
        .filter(|sample| sample.start > answered && sample.status == 200)
        .count();
    assert_eq!(
        late, 0,
        "{late} requests passed that started after the answer"
    );
    assert!(
        before > CONNECTIONS && after > CONNECTIONS,
        "{before} passed before, {after} were sent after"
    );
    for number in [0, KEYS / 2, KEYS - 1] {
        let refused = gateway.ask("/", Some(&secret(number))).await;
        assert_eq!((refused.status, refused.code()), (401, "invalid_key"));
    }
    assert!(
        gateway
            .control_plane
            .key(&made(&gateway).await)
            .await
            .unwrap()["active"]
            == true
    );
}

/// Creates a key as another user during the deletion.
async fn made(gateway: &Gateway) -> String {
    let keys = gateway.control_plane.get("/v1/keys?limit=1").await.unwrap();
    assert!(
        keys["keys"][0]["name"]
            .as_str()
            .unwrap()
            .starts_with("other"),
        "{keys}"
    );
    keys["keys"][0]["key_id"].as_str().unwrap().to_owned()
}

/// Needs a release build: `cargo build --release --bins`, then `cargo test --release --package
/// latchkey-tests --test e2e -- --ignored deletion --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures, which takes a quiet machine and minutes"]
async fn large_deletion_blocks_nobody() {
    const KEYS: usize = 100_000;
    for distinct in [false, true] {
        let gateway = Gateway::start().await;
        let user = user_with_keys(&gateway.control_plane, KEYS, distinct).await;
        eventually(Duration::from_secs(120), async || {
            let answer = http_client()
                .get(gateway.envoy.url("/"))
                .header("x-api-key", secret(KEYS - 1))
                .send()
                .await?;
            anyhow::ensure!(answer.status() == 200, "{}", answer.status());
            Ok(())
        })
        .await
        .unwrap();
        let Seen {
            answered,
            removed,
            mut others,
        } = delete(&gateway, &user, KEYS).await;
        others.sort_unstable();
        let (median, longest) = (others[others.len() / 2], others[others.len() - 1]);
        println!(
            "{KEYS} keys, {} policies: answered after {answered:?}, removed after {removed:?}; {} changes of others \
             meanwhile took {median:?} (median), {longest:?} (longest)",
            if distinct { "own" } else { "shared" },
            others.len()
        );
        assert!(answered < Duration::from_secs(1), "{answered:?}");
        assert!(longest < Duration::from_millis(200), "{longest:?}");
    }
}
