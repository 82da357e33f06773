//! Requests by route rules and limits.

use super::*;
use latchkey_policy::ledger;
use latchkey_policy::limit::{Limits, Window};
use latchkey_policy::meter::Meter;
use latchkey_policy::permission::Pattern;
use latchkey_policy::record::FORMAT;
use latchkey_policy::route::{
    PathSpec, RouteRules, Rule, RuleSpec, SubaccountLocationSpec, Unmatched,
};
use latchkey_policy::settings::SettingsRecord;

/// Returns a policy that grants its keys some permissions, within `limits`.
pub(super) fn limited(limits: Limits) -> PolicyRecord {
    PolicyRecord {
        roles: vec!["dns_manager".into()],
        grants: vec![Pattern::parse("dns:*").unwrap()],
        owner_grants: vec![Pattern::parse("*").unwrap()],
        subaccounts: vec!["sub_1".into()],
        limits,
        ..test_util::policy(1)
    }
}

/// Creates a worker with one key, 1, in slot 1, and some rules.
pub(super) fn routed(policy: &PolicyRecord, more: &str) -> (FakeHost, Worker) {
    let host = FakeHost::default();
    host.clock.set(NOW * 1_000_000_000);
    host.source.replace("192.0.2.7:4711".into());
    let (mut routes, mut policies, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let rule = |path: &str, permission: Option<&str>| RuleSpec {
        host: None,
        methods: None,
        path: PathSpec::Template(path.to_owned()),
        public: permission.is_none(),
        service: permission.map(|_| "dns".to_owned()),
        permission: permission.map(str::to_owned),
        subaccount: permission.map(|_| SubaccountLocationSpec::Query("sub".to_owned())),
    };
    let by_header = RuleSpec {
        subaccount: Some(SubaccountLocationSpec::Header("x-sub".to_owned())),
        ..rule("/records", Some("dns:read"))
    };
    let (zones, cache) = (
        rule("/zones/{zone}", Some("dns:read")),
        rule("/cache", Some("cache:purge")),
    );
    let rules = [rule("/health", None), zones, cache, by_header];
    let rules = rules.map(|rule| Rule::new(rule).unwrap()).into();
    SettingsRecord::from(RouteRules::new(rules, Unmatched::ValidKey).unwrap())
        .encode(FORMAT, &mut routes)
        .unwrap();
    policy.encode(&mut policies).unwrap();
    KeyRecord {
        slot: 1,
        ..test_util::key(key(1).digest(), 1, "CI")
    }
    .encode(&mut keys)
    .unwrap();
    let mut writer = Writer::take_over(&host, 1).unwrap();
    writer.begin([1; 16], 1);
    let batch = Batch {
        routes: &routes,
        policies: &policies,
        keys: &keys,
        revision: Some(1),
        ..Batch::default()
    };
    writer.apply(&host, &batch).unwrap();
    let worker = configured(&host, more);
    (host, worker)
}

/// Returns the verdict of a request for a path with key 1, and the response's headers about limits.
fn ask(host: &FakeHost, worker: &Worker, path: &str) -> (String, Vec<String>) {
    let key = key(1);
    *host.headers.borrow_mut() = [
        ("x-api-key".into(), key.expose().into()),
        (":path".into(), path.into()),
        (":method".into(), "GET".into()),
    ]
    .into();
    host.filter_state.borrow_mut().clear();
    host.response_headers.borrow_mut().clear();
    let mut context = RequestContext::default();
    context.on_headers(host, &worker.shared());
    context.on_response_headers(host);
    let answered = host
        .response
        .take()
        .map(|response| response.headers)
        .unwrap_or_default();
    let passed = host.response_headers.borrow().clone();
    let headers = passed
        .into_iter()
        .chain(answered)
        .filter(|(name, _)| name.contains("ratelimit"));
    let mut headers: Vec<_> = headers
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    headers.sort();
    (host.filter_state.borrow()["latchkey"].clone(), headers)
}

fn meter(host: &FakeHost) -> Meter {
    ledger::read(host, 1).unwrap().0.unwrap()
}

#[test]
fn rules_decide_and_identity_is_stamped() {
    let (host, worker) = routed(&limited(Limits::default()), "");
    for (path, code) in [
        ("/zones/7?sub=sub_1", "allowed"),
        ("/zones/7?sub=sub_2", "subaccount_denied"),
        ("/zones/7?sub=sub_1&sub=sub_1", "subaccount_denied"),
        ("/zones/7", "allowed"),
        ("/cache", "missing_permission"),
        ("/zones//7", "out_of_scope"),
        ("/other", "allowed"),
        ("/health", "public"),
    ] {
        assert_eq!(
            ask(&host, &worker, path),
            (code.to_owned(), Vec::new()),
            "{path}"
        );
    }
    ask(&host, &worker, "/zones/7?sub=sub_1");
    let identity = host.headers.borrow()["x-latchkey-identity"].clone();
    let identity = String::from_utf8(identity).unwrap();
    assert!(
        identity.contains(r#"user="usr_1", subaccount="sub_1", roles=("dns_manager"), tier="#),
        "{identity}"
    );
}

#[test]
fn public_route_strips_only_latchkey_keys() {
    let (host, worker) = routed(&limited(Limits::default()), "");
    let of_ours = format!("Bearer {}", &key(1).expose()[..30]);
    for (authorization, left) in [("Bearer of-the-upstream", true), (of_ours.as_str(), false)] {
        *host.headers.borrow_mut() = [
            (":path".into(), b"/health".to_vec()),
            ("authorization".into(), authorization.into()),
            ("x-latchkey-identity".into(), b"forged".to_vec()),
        ]
        .into();
        assert_eq!(
            RequestContext::default().on_headers(&host, &worker.shared()),
            Action::Continue
        );
        assert_eq!(
            host.headers.borrow().contains_key("authorization"),
            left,
            "{authorization}"
        );
        assert!(!host.headers.borrow().contains_key("x-latchkey-identity"));
    }
}

#[test]
fn limit_admits_its_number_and_reports_it() {
    let limits = Limits::default()
        .with(Window::Minute, Some(2))
        .with(Window::Day, Some(3));
    let (host, worker) = routed(&limited(limits), "");
    // 1,700,000,000 is 20 seconds past a minute, and 80,000 past a day.
    let headers = |limit: u32, remaining: u32, reset: u64| {
        vec![
            format!("x-ratelimit-limit: {limit}"),
            format!("x-ratelimit-remaining: {remaining}"),
            format!("x-ratelimit-reset: {reset}"),
        ]
    };
    assert_eq!(
        ask(&host, &worker, "/"),
        ("allowed".into(), headers(2, 1, NOW + 40))
    );
    assert_eq!(
        ask(&host, &worker, "/cache"),
        ("missing_permission".into(), headers(2, 1, NOW + 40))
    );
    assert_eq!(
        ask(&host, &worker, "/"),
        ("allowed".into(), headers(2, 0, NOW + 40))
    );
    assert_eq!(
        ask(&host, &worker, "/"),
        ("rate_limited".into(), headers(2, 0, NOW + 40))
    );
    host.advance_millis(40_000);
    assert_eq!(
        ask(&host, &worker, "/"),
        ("allowed".into(), headers(3, 0, NOW + 6_400)),
        "none was lost by refusals"
    );
    assert_eq!(
        ask(&host, &worker, "/health"),
        ("public".into(), Vec::new())
    );
}

#[test]
fn limit_refusal_has_retry_after() {
    let (host, worker) = routed(
        &limited(Limits::default().with(Window::Minute, Some(1))),
        "",
    );
    ask(&host, &worker, "/");
    let key = key(1);
    *host.headers.borrow_mut() = [
        ("x-api-key".into(), key.expose().into()),
        (":path".into(), b"/".to_vec()),
    ]
    .into();
    RequestContext::default().on_headers(&host, &worker.shared());
    let response = host.response.take().unwrap();
    assert_eq!(
        (response.status, response.details.as_str()),
        (429, "latchkey_rate_limited")
    );
    assert!(
        response
            .headers
            .contains(&("retry-after".into(), "40".into())),
        "{:?}",
        response.headers
    );
    assert!(
        response
            .body
            .contains("limit of 1 request per minute. Please wait 40 seconds"),
        "{}",
        response.body
    );
}

#[test]
fn ietf_headers_describe_every_limit() {
    let limits = Limits::default()
        .with(Window::Minute, Some(10))
        .with(Window::Day, Some(500));
    let (host, worker) = routed(&limited(limits), r#","rate_limit_headers":["ietf"]"#);
    let expected = [
        r#"ratelimit-policy: "minute";q=10;w=60, "day";q=500;w=86400"#,
        r#"ratelimit: "minute";r=9;t=40, "day";r=499;t=6400"#,
    ];
    let (code, headers) = ask(&host, &worker, "/");
    assert_eq!(
        (code.as_str(), headers),
        ("allowed", expected.map(str::to_owned).into())
    );
    let (host, worker) = routed(&limited(limits), r#","rate_limit_headers":[]"#);
    assert_eq!(ask(&host, &worker, "/").1, [""; 0]);
}

/// Checks also that the host is asked for the address once a second.
#[test]
fn outcomes_are_counted_by_code() {
    let (host, worker) = routed(&limited(Limits::default().with(Window::Day, Some(2))), "");
    for path in ["/", "/cache", "/zones/1?sub=x", "/", "/", "/health"] {
        ask(&host, &worker, path);
    }
    assert_eq!(meter(&host).requests(), [2, 0, 0, 0, 0, 1, 1, 1]);
    let used = |host: &FakeHost| {
        meter(host)
            .last_uses()
            .map(|used| (used.secret, used.from))
            .collect::<Vec<_>>()
    };
    let from = |address: &str| vec![(1, Some(address.parse().unwrap()))];
    assert_eq!(used(&host), from("192.0.2.7"));
    assert_eq!(
        meter(&host).last_uses().next().map(|used| used.at),
        Some(i64::try_from(NOW).unwrap())
    );
    // In the same second the address is not read again; if reading it fails, the request still
    // passes.
    let (host, worker) = routed(&limited(Limits::default()), "");
    ask(&host, &worker, "/");
    host.source.replace("192.0.2.8:4711".into());
    ask(&host, &worker, "/");
    assert_eq!(used(&host), from("192.0.2.7"));
    let settle = || (0..5).for_each(|_| worker.shared().meters.flush(&host));
    host.advance_millis(1_000);
    ask(&host, &worker, "/");
    settle();
    assert_eq!(used(&host), from("192.0.2.8"));
    host.advance_millis(1_000);
    host.stubborn.set("source_address");
    assert_eq!(ask(&host, &worker, "/").0, "allowed");
    settle();
    assert_eq!(used(&host), [(1, None)]);
}

#[test]
fn workers_share_one_limit() {
    let (host, worker) = routed(&limited(Limits::default().with(Window::Day, Some(3))), "");
    let sibling = host.sibling();
    let other = configured(&sibling, "");
    let codes = [
        ask(&host, &worker, "/").0,
        ask(&sibling, &other, "/").0,
        ask(&host, &worker, "/").0,
        ask(&sibling, &other, "/").0,
    ];
    assert_eq!(codes, ["allowed", "allowed", "allowed", "rate_limited"]);
}

#[test]
fn key_with_a_reassigned_slot_is_refused() {
    let (host, worker) = routed(&limited(Limits::default()), "");
    let later = latchkey_policy::meter::Owner {
        epoch: [1; 4],
        key: 9,
    };
    ledger::change(&host, 1, later, |_| ()).unwrap();
    assert_eq!(ask(&host, &worker, "/").0, "invalid_key");
}

#[test]
fn shadowed_keyless_request_keeps_credentials() {
    let (host, worker) = routed(
        &limited(Limits::default()),
        r#","shadow":["malformed_key"]"#,
    );
    *host.headers.borrow_mut() = [
        (":path".into(), b"/".to_vec()),
        ("authorization".into(), b"Bearer of-the-upstream".to_vec()),
    ]
    .into();
    assert_eq!(
        RequestContext::default().on_headers(&host, &worker.shared()),
        Action::Continue
    );
    assert_eq!(
        host.headers.borrow()["authorization"],
        b"Bearer of-the-upstream"
    );
}

#[test]
fn a_shadowed_limit_counts_what_passes() {
    let limits = Limits::default().with(Window::Day, Some(1));
    let (host, worker) = routed(&limited(limits), r#","shadow":["rate_limited"]"#);
    for remaining in [0, 0, 0] {
        let (code, headers) = ask(&host, &worker, "/");
        assert_eq!(
            (code.as_str(), headers[1].as_str()),
            (
                "allowed",
                format!("x-ratelimit-remaining: {remaining}").as_str()
            )
        );
    }
    assert_eq!(meter(&host).requests()[0], 3);
}

#[test]
fn subaccount_header_is_not_in_the_trailers() {
    let (host, worker) = routed(&limited(Limits::default()), "");
    let key = key(1);
    *host.headers.borrow_mut() = [
        ("x-api-key".into(), key.expose().into()),
        (":path".into(), b"/records".to_vec()),
        ("x-sub".into(), b"sub_1".to_vec()),
    ]
    .into();
    host.trailers
        .borrow_mut()
        .insert("x-sub".into(), b"sub_2".to_vec());
    assert_eq!(
        RequestContext::default().on_headers(&host, &worker.shared()),
        Action::Continue
    );
    assert_eq!(on_trailers(&host, &worker.shared()), Action::Continue);
    assert!(host.trailers.borrow().is_empty());
}
