//! Arbitrary messages on the stream, configurations and requests. `make fuzz` runs this for a long
//! time.

use crate::config::Config;
use crate::credentials::Credentials;
use crate::fake::FakeHost;
use crate::host::Host as _;
use crate::request::{Action, RequestContext};
use crate::worker::Worker;
use latchkey_policy::credential::{MAX_CANDIDATES, is_ours, without_word};
use latchkey_policy::key::{Environment, KeyDigest, KeyFormat};
use latchkey_policy::snapshot::{self, Unavailable, Writer, note_contact};
use latchkey_policy::test_util::{self, Random, fuzz};
use latchkey_protocol::{
    Batch, Heartbeat, KeyRemoteUsage, RemoteUsage, ToNode, UsageAck, Welcome, WindowCount, to_node,
};
use prost::Message as _;
use std::borrow::Cow;
use std::convert::Infallible;

const CONFIGURATION: &str = r#"{"control_plane":{"cluster":"latchkey","token":"node-token"},
    "credentials":{"headers":["x-api-key"],"bearer":true,"query":"key","cookie":"k"},
    "identity_headers":{"x-tier":"tier"},"max_staleness_seconds":60,"key_prefix":"lk",
    "client_address":{"xff_trusted_hops":1},"health_path":"/latchkey/ready","end_streams":"all"}"#;

/// Returns the records of one policy and of one key with it.
fn snapshot_of(digest: KeyDigest) -> (Vec<u8>, Vec<u8>) {
    let (mut policies, mut keys) = (Vec::new(), Vec::new());
    test_util::policy(1).encode(&mut policies).unwrap();
    test_util::key(digest, 1, "CI").encode(&mut keys).unwrap();
    (policies, keys)
}

fn message(random: &mut Random, sequence: u64) -> Vec<u8> {
    let (policies, keys) = snapshot_of(KeyDigest::of(&[random.number().to_le_bytes()[0]]));
    let message = match random.below(8) {
        0 => to_node::Message::Heartbeat(Heartbeat {
            revision: 1,
            ..Heartbeat::default()
        }),
        1 => to_node::Message::Welcome(Welcome {
            epoch: vec![1; 16],
            format: latchkey_policy::record::FORMAT,
            resume: random.below(2) == 0,
            heartbeat_millis: 1000,
            keys: u64::from(random.below(100)),
            ..Welcome::default()
        }),
        2 => to_node::Message::UsageAck(UsageAck {
            sequence: u64::from(random.below(3)),
        }),
        3 => {
            let kind = i32::try_from(random.below(7)).unwrap();
            let count = WindowCount {
                kind,
                number: random.below(1 << 20),
                count: random.below(100),
            };
            let key = KeyRemoteUsage {
                key: u64::from(random.below(3)),
                slot: random.below(3),
                windows: vec![count],
            };
            to_node::Message::RemoteUsage(RemoteUsage { keys: vec![key] })
        }
        _ => to_node::Message::Batch(Batch {
            sequence,
            policies: policies.into(),
            keys: keys.into(),
            removed_keys: KeyDigest::of(&[random.number().to_le_bytes()[0]])
                .0
                .to_vec()
                .into(),
            removed_policies: if random.below(4) == 0 {
                1u64.to_le_bytes().to_vec().into()
            } else {
                Vec::new().into()
            },
            routes: if random.below(4) == 0 {
                Vec::new()
            } else {
                test_util::no_routes()
            }
            .into(),
            revision: u64::from(random.below(9)),
            ..Batch::default()
        }),
    };

    let bytes = ToNode {
        message: Some(message),
    }
    .encode_to_vec();

    if random.below(3) == 0 {
        random.mutated(&bytes)
    } else {
        bytes
    }
}

/// A worker lives through any conversation, and what it has published can be read at all times.
#[test]
fn fuzz_stream_messages() {
    fuzz(|random| {
        let host = FakeHost::default();
        host.advance_millis(1_000_000);
        let mut worker = Worker::default();
        assert!(worker.configure(&host, CONFIGURATION.as_bytes()));
        let mut sequence = 0;
        for _ in 0..random.below(40) {
            match random.below(8) {
                0 => {
                    host.advance_millis(u64::from(random.below(4_000)));
                    worker.tick(&host, false);
                    sequence = 0;
                }
                1 => {
                    let stream = random.below(4);
                    worker.on_close(&host, stream, random.below(20));
                }
                _ => {
                    sequence += 1;
                    let bytes = message(random, sequence);
                    let size = bytes.len();
                    host.incoming.replace(bytes);
                    let stream = host.streams.borrow().last().copied().unwrap_or(1);
                    worker.on_message(&host, stream, size);
                }
            }
            let shared = worker.shared();
            let mut reader = shared.reader().unwrap();
            if let Ok(mut view) = reader.view(&host) {
                match view.find(&host, &KeyDigest::of(&[random.number().to_le_bytes()[0]])) {
                    Ok(Some(entry)) => assert_eq!(entry.key().name, "CI"),
                    // The view moved because a batch was changed so that it names a policy that
                    // never came.
                    Ok(None) | Err(Unavailable::Moved) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    });
}

#[test]
fn fuzz_configuration() {
    fuzz(|random| {
        let bytes = random.mutated(CONFIGURATION.as_bytes());
        if let Err(errors) = Config::parse(&bytes) {
            assert!(!errors.is_empty() && errors.iter().all(|error| !error.reason.is_empty()));
        }
    });
}

/// Only a request that presents the existing key passes, and then nothing of the key is left where
/// keys are looked for.
#[test]
fn fuzz_requests() {
    let config = Config::parse(CONFIGURATION.as_bytes()).ok().unwrap();
    let Ok(key) = KeyFormat::default().generate(Environment::Live, |bytes| {
        bytes.fill(7);
        Ok::<_, Infallible>(())
    });
    let of_ours = key.expose().as_bytes();
    let mut passed = 0;
    fuzz(|random| {
        let imported = random.below(2) == 0;
        let key = if imported {
            &b"sk-proj-0123456789"[..]
        } else {
            of_ours
        };
        let routes = if imported {
            test_util::no_routes_and_imported_keys()
        } else {
            test_util::no_routes()
        };
        let host = FakeHost::default();
        host.advance_millis(1_000_000);
        let (policies, keys) = snapshot_of(KeyDigest::of(key));
        let mut writer = Writer::take_over(&host, 1).unwrap();
        writer.begin([1; 16], 1);
        let batch = snapshot::Batch {
            routes: &routes,
            policies: &policies,
            keys: &keys,
            revision: Some(1),
            ..snapshot::Batch::default()
        };
        writer.apply(&host, &batch).unwrap();
        note_contact(&host, host.monotonic.get()).unwrap();
        let mut worker = Worker::default();
        assert!(worker.configure(&host, CONFIGURATION.as_bytes()));

        let parts: [&[u8]; 9] = [
            key,
            b"Bearer ",
            b"k=",
            b"?key=",
            b"&",
            b"; ",
            b", ",
            b"lk_live_",
            b"%6b",
        ];
        let owned = [
            "x-latchkey-identity",
            "x-tier",
            "x.latchkey.identity",
            "x_tier",
        ];
        let connection = ["connection", "x-forwarded-for"];
        for name in ["x-api-key", "authorization", "cookie", ":path"]
            .into_iter()
            .chain(owned)
            .chain(connection)
        {
            if random.below(3) == 0 {
                let mut value: Vec<u8> = (0..random.below(5))
                    .flat_map(|_| random.pick(&parts).to_vec())
                    .collect();
                if random.below(4) == 0 {
                    value = random.mutated(&value);
                }
                host.headers.borrow_mut().insert(name.to_owned(), value);
            }
        }
        // Returns all values where a key may be. `counts` selects those that can be a key.
        let candidates = |host: &FakeHost| {
            let headers = host.request_headers().unwrap();
            let credentials = Credentials::new(&config.credentials, &headers);
            credentials
                .candidates()
                .map(Cow::into_owned)
                .filter(|value| !value.is_empty())
                .collect::<Vec<_>>()
        };
        let counts = |value: &Vec<u8>| is_ours(value, &config.keys) || (imported && value == key);
        let before = candidates(&host);
        let shared = worker.shared();
        let outcome = RequestContext::default().on_headers(&host, &shared);
        let counted: Vec<_> = before.iter().filter(|value| counts(value)).collect();
        // A value after a word is the same key, if the key also stands without it.
        let is_only = counted
            .iter()
            .all(|value| without_word(value, &config.keys) == key);
        let passes =
            before.len() <= MAX_CANDIDATES && is_only && counted.iter().any(|value| *value == key);
        assert_eq!(outcome == Action::Continue, passes, "{before:?}");
        if outcome == Action::Continue {
            passed += 1;
            let others: Vec<_> = before.into_iter().filter(|value| !counts(value)).collect();
            assert_eq!(candidates(&host), others, "what is no key goes on");
            assert!(
                host.headers.borrow()["x-latchkey-identity"]
                    .starts_with(b"key=\"key_abc123def456\"")
            );
            assert_eq!(host.headers.borrow()["x-tier"], b"basic");
            assert!(!host.headers.borrow().contains_key("x_tier"));
            assert!(!host.headers.borrow().contains_key("x.latchkey.identity"));
        } else {
            assert!(host.response.borrow().is_some());
        }
    });
    assert!(passed > 0 || std::env::var_os("FUZZ_SEED").is_some());
}
