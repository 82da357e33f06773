//! The rule that applies to a request, with requests on both sides of each condition; and the
//! effect of a public rule.

use latchkey_tests::{Answer, Connection, Gateway, request};
use serde_json::{Value, json};

use crate::unknown_key;

/// Sends one GET, or a request with `method`, for this host.
async fn ask(gateway: &Gateway, method: &str, host: &str, path: &str, key: Option<&str>) -> Answer {
    let headers = [("host", Some(host)), ("x-api-key", key)];
    let headers: Vec<_> = headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    Connection::to(gateway.envoy.gateway())
        .send(&request(method, path, &headers))
        .await
        .unwrap()
}

/// A statement about rules; the route rules, of which the one in question is public; and requests
/// to which it applies and to which it does not, each with method, host and path.
type Case = (
    &'static str,
    Value,
    &'static [(&'static str, &'static str, &'static str)],
    &'static [Request],
);
type Request = (&'static str, &'static str, &'static str);

fn cases() -> Vec<Case> {
    vec![
        (
            "an exact path is itself, with or without a slash at its end, whatever the query",
            json!([{ "path": { "exact": "/v4/health" }, "public": true }]),
            &[
                ("GET", "a", "/v4/health"),
                ("GET", "a", "/v4/health/"),
                ("POST", "a", "/v4/health?x=/y"),
            ],
            &[
                ("GET", "a", "/v4"),
                ("GET", "a", "/v4/health/x"),
                ("GET", "a", "/v4/Health"),
                ("GET", "a", "/v4/healthy"),
            ],
        ),
        (
            "a prefix is whole segments",
            json!([{ "path": { "prefix": "/v4/zones" }, "public": true }]),
            &[
                ("GET", "a", "/v4/zones"),
                ("GET", "a", "/v4/zones/"),
                ("GET", "a", "/v4/zones/7/records?x"),
            ],
            &[
                ("GET", "a", "/v4"),
                ("GET", "a", "/v4/zonesx"),
                ("GET", "a", "/v4/zone"),
                ("GET", "a", "/v4/x/zones"),
            ],
        ),
        (
            "the prefix of all paths",
            json!([{ "path": { "prefix": "/" }, "public": true }]),
            &[
                ("GET", "a", "/"),
                ("GET", "a", "/a/b/c"),
                ("DELETE", "b.example:81", "/x?y"),
            ],
            &[],
        ),
        (
            "a template's parameter is one segment",
            json!([{ "path": { "template": "/v4/zones/{zone}/records" }, "public": true }]),
            &[
                ("GET", "a", "/v4/zones/7/records"),
                ("GET", "a", "/v4/zones/%c3%a9%20b/records/?x"),
            ],
            &[
                ("GET", "a", "/v4/zones/records"),
                ("GET", "a", "/v4/zones/7/8/records"),
                ("GET", "a", "/v4/zones/7"),
            ],
        ),
        (
            "methods are a list, in their case",
            json!([{ "path": { "prefix": "/" }, "methods": ["GET", "PURGE"], "public": true }]),
            &[("GET", "a", "/"), ("PURGE", "a", "/")],
            &[("POST", "a", "/"), ("PUT", "a", "/"), ("DELETE", "a", "/")],
        ),
        (
            "a host is itself in any case, with any port and a dot at its end",
            json!([{ "path": { "prefix": "/" }, "host": "api.example.com", "public": true }]),
            &[
                ("GET", "api.example.com", "/"),
                ("GET", "API.Example.COM:8443", "/"),
                ("GET", "api.example.com.", "/"),
            ],
            &[
                ("GET", "example.com", "/"),
                ("GET", "x.api.example.com", "/"),
                ("GET", "api.example.com.evil", "/"),
            ],
        ),
        (
            "a star is one label of a host or several",
            json!([{ "path": { "prefix": "/" }, "host": "*.example.com", "public": true }]),
            &[
                ("GET", "a.example.com", "/"),
                ("GET", "b.A.example.com:80", "/"),
            ],
            &[
                ("GET", "example.com", "/"),
                ("GET", "aexample.com", "/"),
                ("GET", "a.example.com.x", "/"),
            ],
        ),
        (
            "the first rule that matches wins",
            json!([
                { "path": { "exact": "/a/keyed" } },
                { "path": { "prefix": "/a" }, "methods": ["POST"] },
                { "path": { "prefix": "/a" }, "public": true },
                { "path": { "template": "/a/{x}/y" } }
            ]),
            &[
                ("GET", "a", "/a"),
                ("GET", "a", "/a/b/y"),
                ("GET", "a", "/a/keyed/b"),
            ],
            &[
                ("GET", "a", "/a/keyed"),
                ("POST", "a", "/a/b"),
                ("POST", "a", "/a/b/y"),
            ],
        ),
        (
            "escapes are read as what they stand for, in a rule as in a request",
            json!([{ "path": { "exact": "/caf%C3%A9/%7euser" }, "public": true }]),
            &[
                ("GET", "a", "/caf%c3%a9/~user"),
                ("GET", "a", "/%63af%C3%A9/%7Euser"),
            ],
            &[("GET", "a", "/cafe/~user"), ("GET", "a", "/caf%e9/~user")],
        ),
    ]
}

#[tokio::test]
async fn matching_rules_hold_at_envoy() {
    let gateway = Gateway::start().await;
    for (rule, rules, under_it, not_under_it) in cases() {
        gateway
            .control_plane
            .put_routes(json!({ "rules": rules }))
            .await
            .unwrap();
        for (method, host, path) in under_it {
            let answer = ask(&gateway, method, host, path, None).await;
            assert_eq!(
                answer.status, 200,
                "{rule}: {method} {host} {path}: {}",
                answer.body
            );
        }
        for (method, host, path) in not_under_it {
            let answer = ask(&gateway, method, host, path, None).await;
            assert_eq!(
                answer.code(),
                "missing_key",
                "{rule}: {method} {host} {path}"
            );
        }
    }
}

#[tokio::test]
async fn unmatched_request_needs_valid_key() {
    let gateway = Gateway::start().await;
    let key = json!({ "name": "CI", "roles": ["admin"] });
    let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
    let rules = json!([{ "path": { "exact": "/known" } }, { "path": { "exact": "/public" }, "public": true }]);
    for (what, document, unmatched, without_key) in [
        ("without a document", None, "", "missing_key"),
        (
            "by default",
            Some(json!({ "rules": rules })),
            "",
            "missing_key",
        ),
        (
            "as said",
            Some(json!({ "rules": rules, "unmatched": "valid_key" })),
            "",
            "missing_key",
        ),
        (
            "denied",
            Some(json!({ "rules": rules, "unmatched": "deny" })),
            "out_of_scope",
            "missing_key",
        ),
        (
            "denied, without any rule",
            Some(json!({ "rules": [], "unmatched": "deny" })),
            "out_of_scope",
            "missing_key",
        ),
    ] {
        let known = document
            .as_ref()
            .is_none_or(|document| document["rules"] == rules);
        if let Some(document) = document {
            gateway.control_plane.put_routes(document).await.unwrap();
        }
        assert_eq!(
            gateway.ask("/other", Some(&key)).await.code(),
            unmatched,
            "{what}"
        );
        assert_eq!(
            gateway.ask("/other", None).await.code(),
            without_key,
            "{what}"
        );
        assert_eq!(
            gateway.ask("/other", Some(&unknown_key())).await.code(),
            "invalid_key",
            "{what}"
        );
        let expected = if known { "" } else { unmatched };
        assert_eq!(
            gateway.ask("/known", Some(&key)).await.code(),
            expected,
            "{what}"
        );
    }
}

/// The caller is unknown on a public route, so the upstream gets no identity, not even one that the
/// client sends. Credentials that are not Latchkey's keys are passed on.
#[tokio::test]
async fn public_route_strips_latchkey_keys() {
    let gateway = Gateway::builder()
        .envoy(|envoy| {
            envoy.configuration = json!({ "identity_headers": { "x-consumer-id": "key" } });
        })
        .start()
        .await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap()
        .api_key;
    let rules = json!([{ "path": { "prefix": "/public" }, "public": true }]);
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    let (bearer, unknown) = (format!("Bearer {key}"), unknown_key());
    let foreign = "Bearer eyJhbGciOiJub25lIn0.e30.";
    for (what, sent, arrives) in [
        ("a key", ("x-api-key", key.as_str()), None),
        (
            "a key as a bearer",
            ("authorization", bearer.as_str()),
            None,
        ),
        (
            "a key that nobody made",
            ("x-api-key", unknown.as_str()),
            None,
        ),
        (
            "somebody else's bearer token",
            ("authorization", foreign),
            Some(foreign),
        ),
        (
            "another scheme",
            ("authorization", "Basic dTpw"),
            Some("Basic dTpw"),
        ),
    ] {
        let forged = [
            sent,
            ("x-latchkey-identity", "key=\"key_forged\""),
            ("x-consumer-id", "key_forged"),
        ];
        let answer = gateway.ask_with("/public/page", &forged).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        assert_eq!(answer.reached_upstream(sent.0), arrives, "{what}");
        assert_eq!(
            answer.reached_upstream("x-latchkey-identity"),
            None,
            "{what}"
        );
        assert_eq!(answer.reached_upstream("x-consumer-id"), None, "{what}");
        assert!(!answer.headers.contains_key("x-ratelimit-limit"), "{what}");
    }
    assert!(!gateway.logs().contains(&key));
}
