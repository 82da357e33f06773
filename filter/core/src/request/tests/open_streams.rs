//! Streams that are still open when the secret that admitted them ends.

use super::*;
use crate::stream_check::StreamCheck;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::snapshot::Unavailable;

const WEBSOCKET: (&str, &str) = ("upgrade", "websocket");

struct Streams {
    host: FakeHost,
    worker: Worker,
    check: StreamCheck,
    next: u32,
}

impl Streams {
    fn new(configuration: &str) -> Self {
        let (host, _) = gateway();
        let worker = configured(&host, configuration);
        Self {
            host,
            worker,
            check: StreamCheck::default(),
            next: 7,
        }
    }

    /// Admits a request from an address, which stays open. Returns whether the stream is kept.
    fn open(&mut self, seed: u8, source: &str, headers: &[(&str, &str)]) -> bool {
        self.next += 1;
        let key = key(seed);
        self.host.source.replace(source.to_owned());
        self.host
            .open
            .borrow_mut()
            .insert(self.next, source.to_owned());
        let mut sent = vec![("x-api-key", key.expose())];
        sent.extend(headers);
        *self.host.headers.borrow_mut() = sent
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let shared = self.worker.shared();
        let mut context = RequestContext::default();
        assert_eq!(
            context.on_headers(&self.host, &shared),
            Action::Continue,
            "{:?}",
            self.host.response.borrow()
        );
        let open = context.take_open();
        let kept = open.is_some();
        open.into_iter()
            .for_each(|open| shared.open_streams.add(self.next, open));
        kept
    }

    /// Returns the streams that were reset within a number of ticks.
    fn resets_after(&self, ticks: usize) -> usize {
        for _ in 0..ticks {
            self.host.advance_millis(100);
            self.tick();
        }
        self.host.resets.take().len()
    }

    fn tick(&self) {
        self.check.tick(&self.host, &self.worker.shared());
    }

    /// Publishes a change to the record of a key, or its removal.
    fn change(&self, seed: u8, change: impl FnOnce(&mut KeyRecord<'_>)) {
        let mut record = KeyRecord {
            number: seed.into(),
            slot: seed.into(),
            ..test_util::key(key(seed).digest(), 1, "CI")
        };
        change(&mut record);
        let mut keys = Vec::new();
        record.encode(&mut keys).unwrap();
        self.publish(&Batch {
            keys: &keys,
            ..Batch::default()
        });
    }

    fn change_policy(&self, id: u64, change: impl FnOnce(&mut PolicyRecord)) {
        let mut policy = test_util::policy(id);
        change(&mut policy);
        let mut policies = Vec::new();
        policy.encode(&mut policies).unwrap();
        self.publish(&Batch {
            policies: &policies,
            ..Batch::default()
        });
    }

    fn publish(&self, batch: &Batch<'_>) {
        let mut writer = Writer::take_over(&self.host, 2).unwrap();
        writer.resume(&self.host).unwrap();
        let revision = writer.position().map(|(_, revision)| revision + 1);
        writer
            .apply(&self.host, &Batch { revision, ..*batch })
            .unwrap();
    }

    fn revoke(&self, digest: &KeyDigest) {
        self.publish(&Batch {
            removed_keys: &digest.0,
            ..Batch::default()
        });
    }
}

#[test]
fn only_long_streams_are_tracked() {
    for (mode, websocket, plain) in [
        ("off", false, false),
        ("upgrades", true, false),
        ("all", true, true),
    ] {
        let mut streams = Streams::new(&format!(r#","end_streams":"{mode}""#));
        for headers in [
            [WEBSOCKET],
            [(":method", "CONNECT")],
            [("content-type", "application/grpc+proto")],
            [("content-type", "application/grpc-web")],
        ] {
            assert_eq!(
                streams.open(1, "", &headers),
                websocket,
                "{mode} {headers:?}"
            );
        }
        for headers in [
            &[(":method", "GET")][..],
            &[("content-type", "application/json")],
            &[("connection", "Upgrade")],
        ] {
            assert_eq!(streams.open(1, "", headers), plain, "{mode} {headers:?}");
        }
    }
    assert!(
        Streams::new("").open(1, "", &[WEBSOCKET]),
        "upgrades are the default"
    );
}

#[test]
fn ended_secret_resets_only_its_streams() {
    let from_inside = "10.1.2.3:4711";
    for (how, end) in [
        (
            "invalid_key",
            (|streams| streams.revoke(&key(1).digest())) as fn(&Streams),
        ),
        ("disabled_key", |streams| {
            streams.change(1, |key| key.disabled = true);
        }),
        ("disabled_key", |streams| {
            streams.change_policy(1, |policy| policy.owner_disabled = true);
        }),
        ("disabled_key", |streams| {
            streams.change_policy(1, |policy| policy.account_disabled = true);
        }),
        ("expired_key", |streams| {
            streams.change(1, |key| {
                key.expires_at = Some(i64::try_from(NOW).unwrap() + 1);
            });
        }),
        ("ip_denied", |streams| {
            streams.change_policy(1, |policy| {
                policy.addresses.deny = vec!["10.1.0.0/16".parse().unwrap()];
            });
        }),
    ] {
        let mut streams = Streams::new("");
        assert!(streams.open(6, from_inside, &[WEBSOCKET]));
        for _ in 0..3 {
            assert!(streams.open(1, from_inside, &[WEBSOCKET]));
        }
        assert_eq!(streams.resets_after(20), 0, "{how}");
        streams.host.clock.set(NOW * 1_000_000_000);
        end(&streams);
        assert_eq!(streams.resets_after(20), 3, "{how}");
        assert_eq!(streams.host.filter_state.borrow()["latchkey_ended"], how);
        assert_eq!(streams.host.metric("latchkey_streams_ended"), 3);
        assert_eq!(
            (
                streams.worker.shared().open_streams.len(),
                streams.host.open.borrow().len()
            ),
            (1, 1),
            "{how}"
        );
    }
}

#[test]
fn a_shadowed_check_resets_nothing() {
    let mut streams = Streams::new(r#","shadow":["invalid_key"]"#);
    assert!(streams.open(1, "", &[WEBSOCKET]));
    streams.revoke(&key(1).digest());
    assert_eq!(streams.resets_after(20), 0);
}

#[test]
fn unknown_address_stays_unknown() {
    for (forwarded, resets) in [("10.9.9.9,10.1.2.3", 0), ("10.9.9.9:80,10.1.2.3", 1)] {
        let mut streams = Streams::new(r#","client_address":{"xff_trusted_hops":1}"#);
        let source = if resets == 0 {
            "10.9.9.9:0"
        } else {
            "10.1.2.3:4711"
        };
        assert!(streams.open(1, source, &[WEBSOCKET, ("x-forwarded-for", forwarded)]));
        streams.change_policy(1, |policy| {
            policy.addresses.deny = vec!["192.0.2.0/24".parse().unwrap()];
        });
        assert_eq!(streams.resets_after(10), resets, "{forwarded}");
    }
}

#[test]
fn old_plain_requests_are_reset() {
    let mut streams = Streams::new(r#","end_streams":"all""#);
    assert!(streams.open(1, "", &[]) && streams.open(1, "", &[WEBSOCKET]));
    streams.revoke(&key(1).digest());
    assert_eq!(streams.resets_after(10), 1);
    assert_eq!(streams.resets_after(289), 0);
    assert_eq!(streams.resets_after(15), 1);
}

#[test]
fn many_streams_are_checked_within_a_second() {
    let mut streams = Streams::new("");
    for _ in 0..5_000 {
        streams.open(1, "", &[WEBSOCKET]);
    }
    streams
        .host
        .open
        .borrow_mut()
        .retain(|context, _| context % 5 == 0);
    assert_eq!(streams.resets_after(10), 0);
    assert_eq!(streams.worker.shared().open_streams.len(), 1_000);
    for _ in 0..4_000 {
        streams.open(1, "", &[WEBSOCKET]);
    }
    assert_eq!(streams.resets_after(1), 0);
    streams.revoke(&key(1).digest());
    assert_eq!(streams.resets_after(9), 5_000);
}

#[test]
fn uncheckable_stream_stays_until_a_later_check() {
    let mut streams = Streams::new("");
    assert!(streams.open(1, "", &[WEBSOCKET]));
    streams.revoke(&key(1).digest());
    streams.host.stubborn.set("reset");
    assert_eq!(streams.resets_after(10), 0);
    streams.host.stubborn.set("monotonic");
    assert_eq!(streams.resets_after(10), 0);
    streams.host.stubborn.set("");
    assert_eq!(streams.resets_after(10), 1);
}

/// Before a snapshot there are no streams; one that is damaged ends none.
#[test]
fn a_damaged_snapshot_resets_nothing() {
    let mut streams = Streams::new("");
    assert!(streams.open(1, "", &[WEBSOCKET]));
    streams.change(6, |_| {});
    streams.host.cells.tamper(|name, bytes| {
        if !name.ends_with("head") {
            bytes.truncate(20);
        }
    });
    let shared = streams.worker.shared();
    assert_eq!(streams.resets_after(20), 0);
    let error = shared
        .reader()
        .unwrap()
        .view(&streams.host)
        .unwrap()
        .find(&streams.host, &key(1).digest())
        .err();
    assert_eq!(error, Some(Unavailable::Damaged));
}
