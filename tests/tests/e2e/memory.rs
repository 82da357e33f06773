//! Envoy's memory is bounded by the number of live keys, not by the number of keys ever created.

use std::collections::VecDeque;
use std::time::Duration;

use anyhow::ensure;
use latchkey_control_plane::{Config, start};
use latchkey_policy::key::{Environment, KeyFormat, PlainKey};
use latchkey_store::{NewKey, Store};
use latchkey_tests::{Envoy, Gateway, eventually};

const BATCH: usize = 1_000;
const BATCHES: usize = 100;
/// The number of batches that are live at a time.
const LIVE: usize = 3;
/// The number of batches after which memory no longer grows.
const FIRST: usize = 10;
const ALLOWED_GROWTH: u64 = 10 << 20;

/// The control plane runs in this process, so that keys can be created a thousand at a time. It
/// sends the same messages to Envoy as always.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gone_keys_free_their_memory() {
    let gateway = Gateway::builder().without_control_plane().start().await;
    let control_plane = start(config(&gateway)).await.unwrap();
    let store = control_plane.store();
    let owner = store.credentials("admin@localhost").await.unwrap().unwrap();

    let mut live = VecDeque::new();
    let mut after_first = 0;
    let mut last = None;
    for batch in 0..BATCHES {
        let secrets: Vec<_> = (0..BATCH).map(|number| secret(batch, number)).collect();
        let keys: Vec<_> = secrets
            .iter()
            .enumerate()
            .map(|(number, secret)| {
                let name = format!("key {number} of batch {batch}");
                NewKey::new(
                    &owner.account_id,
                    &owner.user_id,
                    &name,
                    secret,
                    "basic",
                    Environment::Live,
                )
            })
            .collect();
        let created = store.create_keys(&keys, 0).await.unwrap();
        live.push_back(
            created
                .keys
                .iter()
                .map(|key| key.id.clone())
                .collect::<Vec<_>>(),
        );
        if live.len() > LIVE {
            let revoked = live.pop_front().unwrap();
            store
                .revoke_keys(&owner.account_id, &revoked, 0)
                .await
                .unwrap();
        }
        caught_up(&gateway.envoy, store).await;
        assert_eq!(
            gateway.ask("/", Some(secrets[0].expose())).await.status,
            200
        );
        if let Some(gone) = last.replace(secrets).filter(|_| batch == LIVE + 1) {
            assert_eq!(gateway.ask("/", Some(gone[0].expose())).await.status, 200);
        }
        if batch + 1 == FIRST {
            after_first = gateway.envoy.rss_bytes().unwrap();
        }
    }
    assert_eq!(
        gateway.ask("/", Some(secret(0, 0).expose())).await.code(),
        "invalid_key"
    );
    let at_the_end = gateway.envoy.rss_bytes().unwrap();
    println!(
        "resident: {} kB after the first {}, {} kB at the end",
        after_first >> 10,
        FIRST * BATCH,
        at_the_end >> 10
    );
    assert!(
        at_the_end <= after_first + ALLOWED_GROWTH,
        "{after_first} bytes grew to {at_the_end}"
    );
    assert_eq!(
        gateway
            .envoy
            .stat("wasmcustom.latchkey_keys")
            .await
            .unwrap(),
        (LIVE * BATCH) as u64
    );
    control_plane.shutdown().await;
}

async fn caught_up(envoy: &Envoy, store: &Store) {
    let caught_up = eventually(Duration::from_secs(10), async || {
        let revision = envoy.stat("wasmcustom.latchkey_revision").await?;
        ensure!(
            revision == store.revision(),
            "Envoy is at {revision}, the store at {}",
            store.revision()
        );
        Ok(())
    });
    caught_up.await.unwrap();
}

fn config(gateway: &Gateway) -> Config {
    use clap::Parser as _;

    let (stream, token) = (
        gateway.control_plane.stream().to_string(),
        gateway.envoy_options().node_token,
    );
    let database = gateway.dir().join("latchkey.db");
    let settings = [
        "--node-token",
        &token,
        "--stream-listen",
        &stream,
        "--http-listen",
        "127.0.0.1:0",
    ];
    let mut config = Config::parse_from(settings.into_iter().chain(["--create-database"]));
    config.store.database = database;
    config
}

fn secret(batch: usize, number: usize) -> PlainKey {
    let seed = (batch * BATCH + number).to_le_bytes();
    let fill = |bytes: &mut [u8]| {
        for (at, byte) in bytes.iter_mut().enumerate() {
            // Each byte has four bits of the number: the generator would not draw again for any
            // such value.
            *byte = (seed[at % 8] >> (4 * (at / 8 % 2))) & 15;
        }
        Ok::<_, std::convert::Infallible>(())
    };
    let Ok(key) = KeyFormat::default().generate(Environment::Live, fill);
    key
}
