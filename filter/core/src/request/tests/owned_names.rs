//! Other spellings of header names that belong to the filter.

use super::routes_and_limits::{limited, routed};
use super::*;
use latchkey_policy::limit::Limits;
use latchkey_policy::token::is_token;

/// Returns every name that some upstreams take for `name`, without `name` itself.
fn spellings(name: &str) -> Vec<String> {
    let separators = (0..=u8::MAX)
        .filter(|byte| is_token(&[*byte]) && !byte.is_ascii_alphanumeric() && *byte != b'-');
    separators
        .map(|byte| name.replace('-', char::from(byte).encode_utf8(&mut [0; 4])))
        .collect()
}

/// Returns the headers that the upstream gets of a request for `path`, with a key unless the path
/// is public.
fn left(host: &FakeHost, worker: &Worker, path: &str, more: &[(&str, &str)]) -> Vec<String> {
    let key = key(1);
    let mut headers = vec![(":path", path), (":method", "GET"), ("accept", "*/*")];
    headers.extend((path != "/health").then_some(("x-api-key", key.expose())));
    headers.extend(more);
    *host.headers.borrow_mut() = headers
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    host.response.take();
    assert_eq!(
        RequestContext::default().on_headers(host, &worker.shared()),
        Action::Continue,
        "{path} {more:?}"
    );
    let headers = host.headers.borrow();
    headers
        .keys()
        .filter(|name| !name.starts_with(':') && *name != "accept")
        .cloned()
        .collect()
}

#[test]
fn other_header_spellings_are_removed() {
    let (host, worker) = routed(
        &limited(Limits::default()),
        r#","identity_headers":{"x-consumer-id":"key"}"#,
    );
    for owned in ["x-latchkey-identity", "x-consumer-id", "x-sub"] {
        let spellings = spellings(owned);
        assert_eq!(spellings.len(), 14);
        for name in &spellings {
            let forged = [(name.as_str(), "forged")];
            assert_eq!(left(&host, &worker, "/health", &forged), [""; 0], "{name}");
            let with_key = left(&host, &worker, "/other", &forged);
            assert_eq!(with_key, ["x-consumer-id", "x-latchkey-identity"], "{name}");
            let read = left(&host, &worker, "/records", &[("x-sub", "sub_1"), forged[0]]);
            assert_eq!(
                read,
                ["x-consumer-id", "x-latchkey-identity", "x-sub"],
                "{name}"
            );
        }
    }
    let others = [
        ("x-sub2", "1"),
        ("x--sub", "2"),
        ("xxsub", "3"),
        ("x-latchkey-identity2", "4"),
    ];
    assert_eq!(left(&host, &worker, "/health", &others).len(), others.len());
}

#[test]
fn other_trailer_spellings_are_removed() {
    let (host, worker) = routed(&limited(Limits::default()), "");
    let names = ["x-latchkey-identity", "x-sub"]
        .map(|name| [spellings(name), vec![name.to_owned()]].concat());
    for name in names.concat() {
        *host.trailers.borrow_mut() = [
            (name.clone(), b"forged".to_vec()),
            ("x-sum".into(), b"1".to_vec()),
        ]
        .into();
        assert_eq!(on_trailers(&host, &worker.shared()), Action::Continue);
        assert_eq!(
            host.trailers.borrow().keys().collect::<Vec<_>>(),
            ["x-sum"],
            "{name}"
        );
    }
}

/// Several filters may share a VM, and one of them may have no snapshot. A snapshot may also end
/// between headers and trailers.
#[test]
fn trailers_are_cleaned_without_a_snapshot() {
    let forged = || {
        [
            ("x.latchkey.identity".into(), b"forged".to_vec()),
            ("x-sum".into(), b"1".to_vec()),
        ]
        .into()
    };
    let without_snapshot = FakeHost::default();
    let cold = configured(&without_snapshot, "");
    *without_snapshot.trailers.borrow_mut() = forged();
    assert_eq!(
        on_trailers(&without_snapshot, &cold.shared()),
        Action::Continue
    );
    assert_eq!(
        without_snapshot
            .trailers
            .borrow()
            .keys()
            .collect::<Vec<_>>(),
        ["x-sum"]
    );

    let (host, worker) = routed(&limited(Limits::default()), "");
    left(&host, &worker, "/records", &[("x-sub", "sub_1")]);
    let mut writer = Writer::take_over(&host, 9).unwrap();
    writer.suspend(&host).unwrap();
    *host.trailers.borrow_mut() = [forged(), [("x.sub".to_owned(), b"2".to_vec())].into()]
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(on_trailers(&host, &worker.shared()), Action::Continue);
    assert_eq!(
        host.trailers.borrow().keys().collect::<Vec<_>>(),
        ["x-sum"],
        "by the rules of the last snapshot"
    );
}

#[test]
fn connection_does_not_name_an_owned_header() {
    let (host, worker) = routed(&limited(Limits::default()), "");
    for (value, rest) in [
        ("Upgrade, x-latchkey-identity", Some("Upgrade")),
        ("x.sub", None),
        ("keep-alive , Upgrade", Some("keep-alive , Upgrade")),
    ] {
        for path in ["/health", "/other"] {
            left(
                &host,
                &worker,
                path,
                &[("connection", value), ("upgrade", "websocket")],
            );
            let headers = host.headers.borrow();
            assert_eq!(
                headers.get("connection").map(Vec::as_slice),
                rest.map(str::as_bytes),
                "{path} {value}"
            );
        }
    }
}

#[test]
fn unremovable_header_refuses_the_request() {
    let (host, worker) = routed(&limited(Limits::default()), "");
    for (call, name, value) in [
        ("remove_request_header", "x.sub", "1"),
        ("set_request_header", "connection", "Upgrade, x-sub"),
    ] {
        *host.headers.borrow_mut() = [
            (":path".into(), "/health".into()),
            (name.into(), value.into()),
        ]
        .into();
        host.response.take();
        host.stubborn.set(call);
        assert_eq!(
            RequestContext::default().on_headers(&host, &worker.shared()),
            Action::Pause,
            "{name}"
        );
        assert_eq!(host.response.borrow().as_ref().unwrap().status, 503);
    }
}
