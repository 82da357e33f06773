//! Requests with keys that were created in another system, of which only the digest is known.

use super::routes_and_limits::{limited, routed};
use super::*;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::limit::Limits;
use latchkey_policy::record::FORMAT;
use latchkey_policy::route::{PathSpec, RouteRules, Rule, RuleSpec, Unmatched};
use latchkey_policy::settings::SettingsRecord;

const FOREIGN: &str = "sk-proj-0123456789";

/// Creates a worker with key 1, an imported key and the public path `/health`. `told` sets whether
/// the snapshot declares that there are imported keys.
fn gateway_with_imported(told: bool, more: &str) -> (FakeHost, Worker) {
    let (host, worker) = routed(&limited(Limits::default()), more);
    let (mut routes, mut keys) = (Vec::new(), Vec::new());
    let health = RuleSpec {
        host: None,
        methods: None,
        path: PathSpec::Exact("/health".to_owned()),
        public: true,
        service: None,
        permission: None,
        subaccount: None,
    };
    let record = RouteRules::new(vec![Rule::new(health).unwrap()], Unmatched::ValidKey).unwrap();
    let settings = SettingsRecord::from(record).with_imported(told);
    settings.encode(FORMAT, &mut routes).unwrap();
    KeyRecord {
        slot: 2,
        number: 2,
        ..test_util::key(KeyDigest::of(FOREIGN.as_bytes()), 1, "foreign")
    }
    .encode(&mut keys)
    .unwrap();
    let mut writer = Writer::take_over(&host, 2).unwrap();
    writer.resume(&host).unwrap();
    let batch = Batch {
        routes: &routes,
        keys: &keys,
        revision: Some(2),
        ..Batch::default()
    };
    writer.apply(&host, &batch).unwrap();
    (host, worker)
}

/// Returns the rest of a header on a public route.
fn left_on_a_public_route(
    host: &FakeHost,
    worker: &Worker,
    name: &str,
    value: &str,
) -> Option<String> {
    *host.headers.borrow_mut() = [
        (":path".into(), b"/health".to_vec()),
        (name.into(), value.into()),
    ]
    .into();
    assert_eq!(
        RequestContext::default().on_headers(host, &worker.shared()),
        Action::Continue
    );
    host.headers
        .borrow()
        .get(name)
        .map(|value| String::from_utf8(value.clone()).unwrap())
}

#[test]
fn imported_key_of_any_form_passes() {
    let (host, worker) = gateway_with_imported(true, "");
    let bearer = format!("Bearer {FOREIGN}");
    for (name, value) in [("x-api-key", FOREIGN), ("authorization", &bearer)] {
        assert_eq!(
            send(&host, &worker, &[(name, value.as_bytes()), (":path", b"/")]),
            "allowed",
            "{name}"
        );
        let upstream = host.headers.borrow();
        assert_eq!(
            upstream.keys().collect::<Vec<_>>(),
            [":path", "x-latchkey-identity"]
        );
        assert!(
            upstream["x-latchkey-identity"]
                .starts_with(br#"key="key_abc123def456", name="foreign""#)
        );
    }
    for (value, code) in [
        ("sk-proj-0123456780", "malformed_key"),
        ("sk-proj", "malformed_key"),
        (key(9).expose(), "invalid_key"),
        (key(1).expose(), "allowed"),
    ] {
        assert_eq!(
            send(
                &host,
                &worker,
                &[("x-api-key", value.as_bytes()), (":path", b"/")]
            ),
            code,
            "{value}"
        );
    }
}

/// Nothing is looked up while no key is imported.
#[test]
fn foreign_forms_need_no_lookup() {
    let (host, worker) = gateway_with_imported(false, "");
    assert_eq!(
        send(
            &host,
            &worker,
            &[("x-api-key", FOREIGN.as_bytes()), (":path", b"/")]
        ),
        "malformed_key"
    );
    assert_eq!(
        left_on_a_public_route(&host, &worker, "x-api-key", FOREIGN).as_deref(),
        Some(FOREIGN)
    );
}

#[test]
fn public_route_strips_imported_keys_only() {
    let (host, worker) =
        gateway_with_imported(true, r#","credentials":{"query":"key","cookie":"k"}"#);
    let left = |name: &str, value: &str| left_on_a_public_route(&host, &worker, name, value);
    assert_eq!(left("x-api-key", FOREIGN), None);
    assert_eq!(left("authorization", &format!("Bearer {FOREIGN}")), None);
    let both = format!("Bearer of-the-upstream, Bearer {FOREIGN}");
    assert_eq!(
        left("authorization", &both).as_deref(),
        Some("Bearer of-the-upstream")
    );
    assert_eq!(
        left("cookie", &format!("a=1; k={FOREIGN}")).as_deref(),
        Some("a=1")
    );
    for (name, value) in [
        ("authorization", "Bearer of-the-upstream"),
        ("authorization", "Basic dTpw"),
        ("x-api-key", "sk-proj-0123456780"),
        ("cookie", "k=of-the-upstream"),
    ] {
        assert_eq!(left(name, value).as_deref(), Some(value));
    }
    let many = |count| vec!["of-the-upstream"; count].join(",");
    assert_eq!(left("x-api-key", &many(16)), Some(many(16)));
    assert_eq!(
        left("x-api-key", &many(17)),
        None,
        "of so many it is not known what they are"
    );
}

#[test]
fn shadowed_keyless_request_strips_imported_keys() {
    let (host, worker) = gateway_with_imported(true, r#","shadow":["ambiguous_key"]"#);
    let two = format!("{FOREIGN}, {}, of-the-upstream", key(1).expose());
    *host.headers.borrow_mut() = [
        (":path".into(), b"/".to_vec()),
        ("x-api-key".into(), two.into()),
    ]
    .into();
    assert_eq!(
        RequestContext::default().on_headers(&host, &worker.shared()),
        Action::Continue
    );
    assert_eq!(host.headers.borrow()["x-api-key"], b"of-the-upstream");
}

#[test]
fn failed_lookup_refuses_public_request() {
    let (host, worker) = gateway_with_imported(true, "");
    host.cells.tamper(|name, bytes| {
        if name.contains('k') {
            bytes.truncate(20);
        }
    });
    *host.headers.borrow_mut() = [
        (":path".into(), b"/health".to_vec()),
        ("x-api-key".into(), FOREIGN.into()),
    ]
    .into();
    assert_eq!(
        RequestContext::default().on_headers(&host, &worker.shared()),
        Action::Pause
    );
    assert_eq!(host.response.borrow().as_ref().unwrap().status, 503);
}
