//! Requests on a fake host, and each place in which a verdict shows.

use super::*;
use crate::fake::FakeHost;
use crate::worker::Worker;
use latchkey_policy::address::AddressLists;
use latchkey_policy::key::{Environment, KeyFormat, PlainKey};
use latchkey_policy::record::{KeyRecord, PolicyRecord};
use latchkey_policy::snapshot::{Batch, Writer};
use latchkey_policy::test_util;

const NOW: u64 = 1_700_000_000;

fn key(seed: u8) -> PlainKey {
    let fill = |bytes: &mut [u8]| {
        bytes.fill(seed);
        Ok::<_, std::convert::Infallible>(())
    };
    KeyFormat::default()
        .generate(Environment::Live, fill)
        .unwrap()
}

/// Creates a worker with a snapshot: key 1 is valid, 2 expires now, 3 is disabled, 4's owner is
/// disabled; 5 does not exist; 6 is valid from 10.0.0.0/8.
fn gateway() -> (FakeHost, Worker) {
    let host = FakeHost::default();
    host.clock.set(NOW * 1_000_000_000);
    let (mut policies, mut keys) = (Vec::new(), Vec::new());
    for (id, owner_disabled, allow) in [
        (1, false, vec![]),
        (2, true, vec![]),
        (3, false, vec!["10.0.0.0/8"]),
    ] {
        let allow = allow.iter().map(|range| range.parse().unwrap()).collect();
        let addresses = AddressLists {
            allow,
            deny: Vec::new(),
        };
        let policy = PolicyRecord {
            owner_disabled,
            addresses,
            ..test_util::policy(id)
        };
        policy.encode(&mut policies).unwrap();
    }
    for (seed, policy) in [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3)] {
        let record = KeyRecord {
            digest: key(seed).digest(),
            policy,
            number: seed.into(),
            slot: seed.into(),
            secret: 1,
            expires_at: (seed == 2).then_some(i64::try_from(NOW).unwrap()),
            disabled: seed == 3,
            id: "abc123def456",
            name: "CI",
        };
        record.encode(&mut keys).unwrap();
    }
    let mut writer = Writer::take_over(&host, 1).unwrap();
    writer.begin([1; 16], 4);
    let batch = Batch {
        routes: &test_util::no_routes(),
        policies: &policies,
        keys: &keys,
        revision: Some(1),
        ..Batch::default()
    };
    writer.apply(&host, &batch).unwrap();
    let worker = configured(&host, "");
    (host, worker)
}

/// Creates a worker with `more` in its configuration.
fn configured(host: &FakeHost, more: &str) -> Worker {
    let mut worker = Worker::default();
    let json =
        format!(r#"{{"control_plane":{{"cluster":"latchkey","token":"node-token"}}{more}}}"#);
    assert!(
        worker.configure(host, json.as_bytes()),
        "{:?}",
        host.log.borrow()
    );
    worker
}

/// Sends a request, and returns the verdict as it shows in each place.
fn send(host: &FakeHost, worker: &Worker, headers: &[(&str, &[u8])]) -> String {
    *host.headers.borrow_mut() = headers
        .iter()
        .map(|(name, value)| ((*name).into(), value.to_vec()))
        .collect();
    host.filter_state.borrow_mut().clear();
    host.response.take();
    let before = host.metrics.borrow().clone();
    let outcome = RequestContext::default().on_headers(host, &worker.shared());
    let mut state = host
        .filter_state
        .borrow()
        .get("latchkey")
        .cloned()
        .unwrap_or_default();
    let response = host.response.borrow().clone();
    if outcome == Action::Continue {
        assert_eq!((response, state.as_str()), (None, "allowed"));
        if let Some(shadowed) = host.filter_state.borrow().get("latchkey_shadow") {
            state.clone_from(shadowed);
        }
    } else {
        let response = response.unwrap();
        assert_eq!(response.details, format!("latchkey_{state}"));
        assert!(response.body.contains(&format!(r#""code":"{state}""#)));
        assert!(
            response
                .headers
                .contains(&("content-type".into(), "application/json".into()))
        );
    }
    let after = host.metrics.borrow().clone();
    let counted: Vec<_> = after
        .iter()
        .zip(&before)
        .filter(|(a, b)| a != b)
        .map(|(a, _)| a.0.clone())
        .collect();
    if worker.shared().ready().is_some() {
        assert_eq!(counted, [format!("latchkey_requests.{state}")]);
    }
    state
}

/// Sends a request of which only the answer is checked.
fn send_raw(host: &FakeHost, worker: &Worker, headers: &[(&str, &[u8])]) {
    *host.headers.borrow_mut() = headers
        .iter()
        .map(|(name, value)| ((*name).into(), value.to_vec()))
        .collect();
    host.response.take();
    RequestContext::default().on_headers(host, &worker.shared());
}

#[test]
fn valid_key_passes_and_is_stripped() {
    let (host, worker) = gateway();
    let key = key(1);
    for headers in [
        vec![("x-api-key", key.expose().to_owned())],
        vec![("authorization", format!("bEARER  {} ", key.expose()))],
        vec![
            ("x-api-key", key.expose().to_owned()),
            ("authorization", format!("Bearer {}", key.expose())),
        ],
    ] {
        let mut headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        headers.push(("x-latchkey-identity", b"key=\"key_forged\""));
        headers.push(("accept", b"*/*"));
        assert_eq!(send(&host, &worker, &headers), "allowed");
        let upstream = host.headers.borrow();
        assert_eq!(
            upstream.keys().collect::<Vec<_>>(),
            ["accept", "x-latchkey-identity"]
        );
        assert_eq!(
            upstream["x-latchkey-identity"],
            br#"key="key_abc123def456", name="CI", account="acc_1", user="usr_1", tier="basic", env="live""#
        );
        assert_eq!(
            host.filter_state.borrow()["latchkey_key"],
            "key_abc123def456"
        );
    }
}

#[test]
fn authorization_without_a_key_reaches_the_upstream() {
    let (host, worker) = gateway();
    let key = key(1);
    let headers = [
        ("x-api-key", key.expose().as_bytes()),
        ("authorization", b"Basic dTpw".as_slice()),
    ];
    assert_eq!(send(&host, &worker, &headers), "allowed");
    assert_eq!(host.headers.borrow()["authorization"], b"Basic dTpw");
}

#[test]
fn each_refusal_has_its_code() {
    let (host, worker) = gateway();
    let with = |seed: u8| key(seed).expose().as_bytes().to_vec();
    let two = [with(1), with(2)].join(&b","[..]);
    for (value, code) in [
        (with(5), "invalid_key"),
        (with(2), "expired_key"),
        (with(3), "disabled_key"),
        (with(4), "disabled_key"),
        (two, "ambiguous_key"),
        (b"lk_live_nonsense".to_vec(), "malformed_key"),
        (vec![0xff; 40], "malformed_key"),
        (vec![b'a'; 10_000], "malformed_key"),
        (Vec::new(), "missing_key"),
    ] {
        assert_eq!(send(&host, &worker, &[("x-api-key", &value)]), code);
    }
    assert_eq!(send(&host, &worker, &[]), "missing_key");
    host.clock.set((NOW - 1) * 1_000_000_000);
    assert_eq!(send(&host, &worker, &[("x-api-key", &with(2))]), "allowed");
}

#[test]
fn foreign_credential_beside_a_key_passes_untouched() {
    let host = gateway().0;
    let worker = configured(&host, r#","credentials":{"query":"key","cookie":"k"}"#);
    let key = key(1);
    let (key, token) = (key.expose(), "eyJhbGciOiJIUzI1NiJ9.e30.sig");
    let bearer = format!("Bearer {key}");
    for (headers, left) in [
        (
            vec![
                ("x-api-key", key.to_owned()),
                ("authorization", format!("Bearer {token}")),
            ],
            vec![("authorization", format!("Bearer {token}"))],
        ),
        (
            vec![
                ("x-api-key", "undefined".to_owned()),
                ("authorization", bearer.clone()),
            ],
            vec![("x-api-key", "undefined".to_owned())],
        ),
        (
            vec![("x-api-key", format!("sk-other ,{key}, \tsk-more"))],
            vec![("x-api-key", "sk-other , \tsk-more".to_owned())],
        ),
        (
            vec![(
                "authorization",
                format!("Bearer {token}, {bearer}, Digest a=\"b, c\""),
            )],
            vec![(
                "authorization",
                format!("Bearer {token}, Digest a=\"b, c\""),
            )],
        ),
        (
            vec![("cookie", format!("a=1; k={token}; k={key}; b=,"))],
            vec![("cookie", format!("a=1; k={token}; b=,"))],
        ),
        (
            vec![(":path", format!("/?key=a%20b&x&key={key}&key=+"))],
            vec![(":path", "/?key=a%20b&x&key=+".to_owned())],
        ),
    ] {
        let sent: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        assert_eq!(send(&host, &worker, &sent), "allowed", "{headers:?}");
        let upstream = host.headers.borrow();
        let mut others: Vec<_> = upstream
            .iter()
            .filter(|(name, _)| *name != "x-latchkey-identity")
            .collect();
        others.sort();
        let left: Vec<_> = left
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        assert_eq!(
            others,
            left.iter()
                .map(|(name, value)| (name, value))
                .collect::<Vec<_>>(),
            "{headers:?}"
        );
    }
    let other = ["x-api-key", "authorization"].map(|name| (name, b"Bearer undefined".as_slice()));
    assert_eq!(send(&host, &worker, &other), "malformed_key");
}

#[test]
fn word_before_the_key_is_reported() {
    let (host, worker) = gateway();
    let value = format!("Bearer {}", key(1).expose());
    assert_eq!(
        send(&host, &worker, &[("x-api-key", value.as_bytes())]),
        "malformed_key"
    );
    assert!(
        host.response
            .borrow()
            .as_ref()
            .unwrap()
            .body
            .contains("without the word Bearer before it")
    );
}

#[test]
fn refusal_uses_the_clients_protocol() {
    let (host, worker) = gateway();
    let without_bearer = configured(&host, r#","credentials":{"bearer":false}"#);
    let expired = key(2);
    let expired = ("x-api-key", expired.expose().as_bytes());
    let grpc = ("content-type", b"application/grpc+proto".as_slice());
    let refused = |worker: &Worker, headers: &[(&str, &[u8])]| {
        send(&host, worker, headers);
        let response = host.response.borrow().clone().unwrap();
        let challenge = response
            .headers
            .iter()
            .find(|(name, _)| name == "www-authenticate");
        (
            challenge.unwrap().1.clone(),
            response.grpc_status.map(|status| status as u32),
        )
    };
    let bearer = r#"Bearer realm="latchkey""#.to_owned();
    assert_eq!(refused(&worker, &[]), (bearer.clone(), None));
    assert_eq!(refused(&worker, &[grpc]), (bearer, Some(16)));
    let invalid = r#"Bearer realm="latchkey", error="invalid_token""#.to_owned();
    assert_eq!(refused(&worker, &[expired]), (invalid, None));
    let api_key = r#"ApiKey realm="latchkey""#.to_owned();
    assert_eq!(
        refused(&without_bearer, &[expired, grpc]),
        (api_key.clone(), Some(16))
    );
    assert_eq!(refused(&without_bearer, &[]), (api_key, None));

    // The host does not recognize this as gRPC.
    send_raw(
        &host,
        &worker,
        &[("content-type", b"application/grpc;charset=utf-8")],
    );
    let response = host.response.borrow().clone().unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, ""));
    assert!(
        response
            .headers
            .contains(&("grpc-status".into(), "16".into())),
        "{:?}",
        response.headers
    );
}

#[test]
fn address_is_the_one_envoy_trusts() {
    let (host, worker) = gateway();
    let key = key(6);
    let headers = [
        ("x-api-key", key.expose().as_bytes()),
        ("x-forwarded-for", b"10.1.2.3".as_slice()),
    ];
    for (source, code) in [
        ("10.1.2.3:4711", "allowed"),
        ("[::ffff:10.1.2.3]:1", "allowed"),
        ("11.1.2.3:4711", "ip_denied"),
        ("", "ip_denied"),
    ] {
        host.source.replace(source.into());
        assert_eq!(send(&host, &worker, &headers), code, "{source}");
    }
    assert_eq!(host.response.borrow().as_ref().unwrap().status, 403);
    host.source.replace("10.1.2.3:4711".into());
    host.stubborn.set("source_address");
    assert_eq!(send(&host, &worker, &headers), "ip_denied");
}

#[test]
fn missing_snapshot_answers_not_ready() {
    let host = FakeHost::default();
    let worker = configured(&host, "");
    for headers in [vec![], vec![("x-api-key", b"nonsense".as_slice())]] {
        assert_eq!(send(&host, &worker, &headers), "not_ready");
        let response = host.response.borrow().clone().unwrap();
        assert_eq!(response.status, 503);
        assert!(
            response
                .headers
                .contains(&("retry-after".into(), "1".into()))
        );
    }
}

#[test]
fn missing_configuration_answers_not_ready() {
    let (host, _) = gateway();
    assert_eq!(
        send(
            &host,
            &Worker::default(),
            &[("x-api-key", key(1).expose().as_bytes())]
        ),
        "not_ready"
    );
}

#[test]
fn unpreparable_request_is_refused() {
    let (host, worker) = gateway();
    for call in [
        "remove_request_header",
        "set_request_header",
        "set_filter_state latchkey_key",
    ] {
        host.stubborn.set(call);
        assert_eq!(
            send(&host, &worker, &[("x-api-key", key(1).expose().as_bytes())]),
            "not_ready",
            "{call}"
        );
    }
}

#[test]
fn unstampable_request_is_refused() {
    let (host, worker) = gateway();
    let key = key(1);
    *host.headers.borrow_mut() = [("x-api-key".into(), key.expose().into())].into();
    host.stubborn.set("set_filter_state latchkey");
    assert_eq!(
        RequestContext::default().on_headers(&host, &worker.shared()),
        Action::Pause
    );
    assert_eq!(host.response.borrow().as_ref().unwrap().status, 503);
}

#[test]
fn failed_host_call_is_not_absence() {
    let (host, worker) = gateway();
    for call in ["request_headers", "now"] {
        host.stubborn.set(call);
        assert_eq!(
            send(&host, &worker, &[("x-api-key", key(2).expose().as_bytes())]),
            "not_ready",
            "{call}"
        );
    }
}

#[test]
fn keys_are_stripped_where_configured() {
    let (host, _) = gateway();
    let key = key(1);
    let key = key.expose();
    let places =
        r#","credentials":{"headers":["apikey"],"bearer":false,"query":"key","cookie":"k"}"#;
    let worker = configured(&host, places);
    let path = format!("/a?x=1&key={key}&y=2");
    let cookie = format!("a=1; k={key}; b=2");
    for (headers, left) in [
        (vec![("apikey", key)], vec![]),
        (
            vec![(":path", path.as_str())],
            vec![(":path", "/a?x=1&y=2")],
        ),
        (
            vec![("cookie", cookie.as_str())],
            vec![("cookie", "a=1; b=2")],
        ),
        (vec![("cookie", &cookie[5..cookie.len() - 5])], vec![]),
        (
            vec![
                ("apikey", key),
                ("authorization", "Bearer other"),
                ("x-api-key", "other"),
            ],
            vec![("authorization", "Bearer other"), ("x-api-key", "other")],
        ),
    ] {
        let sent: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        assert_eq!(send(&host, &worker, &sent), "allowed", "{headers:?}");
        let mut upstream = host.headers.borrow().clone();
        assert!(upstream.remove("x-latchkey-identity").is_some());
        let left: std::collections::BTreeMap<_, _> = left
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
            .collect();
        assert_eq!(upstream, left);
    }
    let (one, two) = (key.as_bytes(), b"/?key=lk_live_other".as_slice());
    assert_eq!(
        send(&host, &worker, &[("apikey", one), (":path", two)]),
        "ambiguous_key"
    );
    assert_eq!(send(&host, &worker, &[("x-api-key", one)]), "missing_key");
}

#[test]
fn a_forwarded_key_stays() {
    let (host, _) = gateway();
    let worker = configured(&host, r#","credentials":{"forward":true}"#);
    let key = key(1);
    assert_eq!(
        send(&host, &worker, &[("x-api-key", key.expose().as_bytes())]),
        "allowed"
    );
    assert_eq!(host.headers.borrow()["x-api-key"], key.expose().as_bytes());
}

#[test]
fn single_fields_get_their_own_headers() {
    let (host, _) = gateway();
    let worker = configured(
        &host,
        r#","identity_headers":{"X-Consumer-Id":"key","x-tier":"tier"}"#,
    );
    let key = key(1);
    let headers = [
        ("x-api-key", key.expose().as_bytes()),
        ("x-tier", b"enterprise".as_slice()),
    ];
    assert_eq!(send(&host, &worker, &headers), "allowed");
    assert_eq!(host.headers.borrow()["x-consumer-id"], b"key_abc123def456");
    assert_eq!(host.headers.borrow()["x-tier"], b"basic");
}

#[test]
fn shadowed_refusal_passes_and_reports_its_code() {
    let (host, _) = gateway();
    let worker = configured(
        &host,
        r#","shadow":["expired_key","missing_key"],"identity_headers":{"x-tier":"tier"}"#,
    );
    let forged = [
        ("x-latchkey-identity", b"forged".as_slice()),
        ("x-tier", b"forged".as_slice()),
    ];
    let expired = key(2);
    for (headers, code) in [
        (
            vec![("x-api-key", expired.expose().as_bytes())],
            "expired_key",
        ),
        (vec![], "missing_key"),
    ] {
        let headers: Vec<_> = headers.into_iter().chain(forged).collect();
        assert_eq!(send(&host, &worker, &headers), code);
        assert!(host.response.borrow().is_none(), "{code} was answered");
        assert!(
            host.headers.borrow().is_empty(),
            "{:?}",
            host.headers.borrow()
        );
        assert_eq!(host.filter_state.borrow()["latchkey"], "allowed");
    }
    let disabled = key(3);
    assert_eq!(
        send(
            &host,
            &worker,
            &[("x-api-key", disabled.expose().as_bytes())]
        ),
        "disabled_key"
    );
    assert!(host.response.borrow().is_some());
}

#[test]
fn stale_snapshot_refuses_until_the_next_contact() {
    let (host, _) = gateway();
    let worker = configured(&host, r#","max_staleness_seconds":60"#);
    let key = key(1);
    let ask = || send(&host, &worker, &[("x-api-key", key.expose().as_bytes())]);
    assert_eq!(ask(), "not_ready", "never heard from");
    latchkey_policy::snapshot::note_contact(&host, host.monotonic.get()).unwrap();
    assert_eq!(ask(), "allowed");
    host.advance_millis(60_000);
    assert_eq!(ask(), "allowed");
    host.advance_millis(1);
    assert_eq!(ask(), "not_ready");
    latchkey_policy::snapshot::note_contact(&host, host.monotonic.get()).unwrap();
    assert_eq!(ask(), "allowed");
}

#[test]
fn trailers_carry_neither_keys_nor_identities() {
    let (host, _) = gateway();
    for name in [
        "x-api-key",
        "authorization",
        "x-latchkey-identity",
        "grpc-status",
    ] {
        host.trailers
            .borrow_mut()
            .insert(name.into(), b"value".to_vec());
    }
    let shared = configured(&host, r#","identity_headers":{"x-tier":"tier"}"#).shared();
    host.trailers
        .borrow_mut()
        .insert("x-tier".into(), b"enterprise".to_vec());
    assert_eq!(on_trailers(&host, &shared), Action::Continue);
    assert_eq!(
        host.trailers.borrow().keys().collect::<Vec<_>>(),
        ["grpc-status"]
    );
    for call in ["remove_request_trailer", "request_trailers"] {
        host.trailers
            .borrow_mut()
            .insert("x-tier".into(), b"enterprise".to_vec());
        host.stubborn.set(call);
        assert_eq!(on_trailers(&host, &shared), Action::Pause);
    }
}

#[test]
fn damaged_memory_is_logged_once() {
    let (host, worker) = gateway();
    host.cells.tamper(|name, bytes| {
        if name != "head" {
            bytes.truncate(20);
        }
    });
    for _ in 0..3 {
        assert_eq!(
            send(&host, &worker, &[("x-api-key", key(1).expose().as_bytes())]),
            "not_ready"
        );
    }
    assert_eq!(host.log.borrow().len(), 1, "{:?}", host.log.borrow());
}

mod health;
mod imported;
mod open_streams;
mod owned_names;
mod routes_and_limits;
mod staleness;
