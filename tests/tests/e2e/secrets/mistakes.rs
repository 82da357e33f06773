//! Calls with a secret in the wrong field, which are refused.

use latchkey_tests::Gateway;
use reqwest::Method;
use serde_json::{Value, json};

use super::{PASSWORD, Place, WRONG_PASSWORD};

/// Makes a call that is refused, and returns its answer, which must not contain its input.
pub(super) async fn refused(gateway: &Gateway, method: Method, path: &str, body: Value) -> Place {
    let name = format!("the answer to {method} {path} {body}");
    let call = gateway
        .control_plane
        .request(method, path)
        .await
        .unwrap()
        .json(&body);
    let answer = call.send().await.unwrap();
    assert!(
        answer.status().is_client_error(),
        "{name}: {}",
        answer.status()
    );
    Place(name, answer.bytes().await.unwrap().into())
}

/// Makes calls with a secret in all the wrong fields, and returns the answers.
pub(super) async fn mistakes(gateway: &Gateway, secret: &str) -> Vec<Place> {
    let generate = "/v1/keys/generate";
    let mut answers = Vec::new();
    for body in [
        json!({ "name": 5, "description": secret }),
        json!({ "name": "x", "environment": secret }),
        json!({ "name": "x", "tier": secret }),
        json!({ "name": "x", "scope": secret }),
        json!({ "name": "x", "roles": [secret] }),
        json!({ "name": "x", "permissions": [secret] }),
        json!({ "name": "x", "allowed_subaccounts": [secret] }),
        json!({ "name": "x", "allowed_ips": [secret] }),
        json!({ "name": "x", "denied_ips": [{ "cidr": secret }] }),
        json!({ "name": "x", "expires_at": secret }),
        json!({ "name": "x", "limits": secret }),
        json!({ "name": "x", "limits": { secret: 5 } }),
        json!({ "name": "x", secret: true }),
        json!([secret]),
        json!(secret),
    ] {
        answers.push(refused(gateway, Method::POST, generate, body).await);
    }
    for (method, path, body) in [
        (Method::GET, format!("/v1/keys/{secret}"), json!({})),
        (Method::DELETE, format!("/v1/keys/{secret}"), json!({})),
        (Method::GET, format!("/v1/keys?limit={secret}"), json!({})),
        (Method::GET, format!("/v1/keys?{secret}=1"), json!({})),
        (Method::GET, format!("/{secret}"), json!({})),
        (Method::GET, format!("/v1/usage?key_id={secret}"), json!({})),
        (
            Method::POST,
            "/v1/users".to_owned(),
            json!({ "email": 5, "password": secret }),
        ),
        (
            Method::POST,
            "/v1/users".to_owned(),
            json!({ "email": "a@example.com", "password": [secret] }),
        ),
        (
            Method::POST,
            "/v1/users".to_owned(),
            json!({ "email": secret, "password": PASSWORD }),
        ),
        (
            Method::PUT,
            "/v1/routes".to_owned(),
            json!({ "rules": [{ "path": { "exact": secret } }] }),
        ),
        (
            Method::PUT,
            "/v1/routes".to_owned(),
            json!({ "rules": [], "unmatched": secret }),
        ),
        (
            Method::PUT,
            "/v1/tiers".to_owned(),
            json!({ "tiers": [{ "name": secret, "limits": secret }] }),
        ),
        (
            Method::POST,
            "/v1/explain".to_owned(),
            json!({ "key_id": secret, "request": { "method": "GET" } }),
        ),
        (
            Method::POST,
            "/v1/explain".to_owned(),
            json!({ "request": { "method": "GET", "headers": secret } }),
        ),
        (
            Method::POST,
            "/v1/sessions".to_owned(),
            json!({ "email": "admin@example.com", "password": secret }),
        ),
        (
            Method::POST,
            "/v1/sessions".to_owned(),
            json!({ "email": secret, "password": WRONG_PASSWORD }),
        ),
        (
            Method::POST,
            "/v1/sessions".to_owned(),
            json!({ "email": [secret], "password": 5 }),
        ),
    ] {
        answers.push(refused(gateway, method, &path, body).await);
    }
    // These are headers with other uses, or headers that carry the identity.
    for header in [
        "x-request-id",
        "authorization",
        "user-agent",
        "x-forwarded-for",
        "traceparent",
    ] {
        let call = gateway
            .client
            .get(gateway.control_plane.url("/v1/nodes"))
            .header(header, secret);
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status(), 401);
        answers.push(Place(
            format!("the headers of the answer to {header}"),
            format!("{answer:?}").into_bytes(),
        ));
    }
    answers
}
