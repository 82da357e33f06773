//! The health path.

use super::*;
use latchkey_policy::snapshot::note_contact;

const CONFIGURATION: &str = r#","health_path":"/latchkey/ready","max_staleness_seconds":60"#;

/// Returns the answer to a request, and its body; `None` if it was not answered.
fn probe(
    host: &FakeHost,
    worker: &Worker,
    method: &str,
    path: &str,
) -> Option<(u32, serde_json::Value)> {
    *host.headers.borrow_mut() = [
        (":path".into(), path.into()),
        (":method".into(), method.into()),
    ]
    .into();
    host.filter_state.borrow_mut().clear();
    host.response.take();
    assert_eq!(
        RequestContext::default().on_headers(host, &worker.shared()),
        Action::Pause
    );
    let response = host.response.borrow().clone()?;
    assert!(
        !host
            .filter_state
            .borrow()
            .get("latchkey")
            .is_some_and(|state| state == "allowed" || state == "public")
    );
    Some((
        response.status,
        serde_json::from_str(&response.body).unwrap(),
    ))
}

#[test]
fn health_is_200_while_deciding() {
    let (host, _) = gateway();
    let worker = configured(&host, CONFIGURATION);
    let status = |host: &FakeHost| {
        let (status, body) = probe(host, &worker, "GET", "/latchkey/ready").unwrap();
        let (code, _) = probe(host, &worker, "GET", "/other").unwrap();
        assert_eq!(
            status == 200,
            code == 401,
            "the same as for a request without a key: {body}"
        );
        (
            status,
            body["revision"].clone(),
            body["age_seconds"].clone(),
        )
    };
    assert_eq!(status(&host), (503, 1.into(), ().into()));
    note_contact(&host, host.monotonic.get()).unwrap();
    assert_eq!(status(&host), (200, 1.into(), 0.into()));
    host.advance_millis(59_900);
    assert_eq!(status(&host), (200, 1.into(), 59.into()));
    host.advance_millis(200);
    assert_eq!(status(&host), (503, 1.into(), 60.into()));

    let empty = FakeHost::default();
    let worker = configured(&empty, CONFIGURATION);
    let (status, body) = probe(&empty, &worker, "HEAD", "/latchkey/ready").unwrap();
    assert_eq!(
        (status, &body["code"], &body["revision"]),
        (503, &"not_ready".into(), &().into())
    );
}

#[test]
fn only_get_and_head_are_probes() {
    let (host, _) = gateway();
    let worker = configured(&host, CONFIGURATION);
    note_contact(&host, host.monotonic.get()).unwrap();
    for (method, path, is_probe) in [
        ("GET", "/latchkey/ready", true),
        ("HEAD", "/latchkey/ready?x=1", true),
        ("GET", "/latchkey/ready/", false),
        ("GET", "/Latchkey/ready", false),
        ("GET", "/latchkey/ready/x", false),
        ("GET", "/latchkey", false),
        ("POST", "/latchkey/ready", false),
        ("get", "/latchkey/ready", false),
    ] {
        let (status, _) = probe(&host, &worker, method, path).unwrap();
        assert_eq!(status, if is_probe { 200 } else { 401 }, "{method} {path}");
    }
    assert_eq!(host.metric("latchkey_requests.missing_key"), 6);
}
