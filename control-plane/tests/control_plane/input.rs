//! Tests invalid input: the status, the code and the field of the error, and that nothing changes.

use crate::harness::{Answer, Client, Plane};
use reqwest::{Method, StatusCode, header};
use serde_json::json;

async fn post(client: &Client<'_>, path: &str, body: String) -> Answer {
    let request = client
        .request(Method::POST, path)
        .header(header::CONTENT_TYPE, "application/json");
    Answer::to(request.body(body)).await
}

#[tokio::test]
async fn invalid_key_request_names_its_field() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    client.key("before").await;
    let revision = plane.store().revision();

    let name = |len| format!(r#"{{"name":"{}"}}"#, "x".repeat(len));
    let long_name = name(101);
    let long_description = format!(r#"{{"name":"x","description":"{}"}}"#, "x".repeat(501));
    let long_scope = json!({"name": "x", "scope": vec!["dns"; 257]}).to_string();
    for (body, field) in [
        ("", None),
        ("{", None),
        ("null", None),
        (r#""name""#, None),
        (r#"["x"]"#, None),
        (r#"{"name":"x"} {}"#, None),
        (r#"{"name":"x",}"#, None),
        ("{}", Some("name")),
        (r#"{"name":null}"#, Some("name")),
        (r#"{"name":5}"#, Some("name")),
        (r#"{"name":""}"#, Some("name")),
        (r#"{"name":" \t "}"#, Some("name")),
        (r#"{"name":"a\u0000b"}"#, Some("name")),
        (r#"{"name":"a\nb"}"#, Some("name")),
        (long_name.as_str(), Some("name")),
        (r#"{"name":"x","name":"x"}"#, Some("name")),
        (r#"{"name":"x","description":["x"]}"#, Some("description")),
        (long_description.as_str(), Some("description")),
        (
            r#"{"name":"x","environment":"staging"}"#,
            Some("environment"),
        ),
        (r#"{"name":"x","environment":"Live"}"#, Some("environment")),
        (r#"{"name":"x","tier":"gold"}"#, Some("tier")),
        (r#"{"name":"x","tier":""}"#, Some("tier")),
        (
            r#"{"name":"x","expires_at":1800000000}"#,
            Some("expires_at"),
        ),
        (
            r#"{"name":"x","expires_at":"2027-01-15T08:00:00Z"}"#,
            Some("expires_at"),
        ),
        (r#"{"name":"x","expires_at":"soon"}"#, Some("expires_at")),
        (r#"{"name":"x","expires_at":1e10}"#, Some("expires_at")),
        (
            r#"{"name":"x","expires_at":253370764800}"#,
            Some("expires_at"),
        ),
        (r#"{"name":"x","expires_at":{}}"#, Some("expires_at")),
        (
            r#"{"name":"x","allowed_ips":"10.0.0.0/8"}"#,
            Some("allowed_ips"),
        ),
        (
            r#"{"name":"x","allowed_ips":["10.0.0.0/8","10.0.0.1/8"]}"#,
            Some("allowed_ips[1]"),
        ),
        (
            r#"{"name":"x","denied_ips":["example.com"]}"#,
            Some("denied_ips[0]"),
        ),
        (
            r#"{"name":"x","denied_ips":[{"cidr":"::1","on":true}]}"#,
            Some("denied_ips[0].on"),
        ),
        (
            r#"{"name":"x","denied_ips":[{"enabled":true}]}"#,
            Some("denied_ips[0].cidr"),
        ),
        (r#"{"name":"x","scope":"dns"}"#, Some("scope")),
        (r#"{"name":"x","scope":[]}"#, Some("scope")),
        (r#"{"name":"x","scope":["dns","DNS"]}"#, Some("scope[1]")),
        (r#"{"name":"x","scope":[""]}"#, Some("scope[0]")),
        (r#"{"name":"x","scope":["dns",7]}"#, Some("scope[1]")),
        (long_scope.as_str(), Some("scope")),
        (r#"{"name":"x","roles":"admin"}"#, Some("roles")),
        (r#"{"name":"x","roles":["admin","root"]}"#, Some("roles[1]")),
        (
            r#"{"name":"x","permissions":["dns:read","dns"]}"#,
            Some("permissions[1]"),
        ),
        (
            r#"{"name":"x","permissions":["a:b:c:d"]}"#,
            Some("permissions[0]"),
        ),
        (
            r#"{"name":"x","allowed_subaccounts":["sub_000000000000"]}"#,
            Some("allowed_subaccounts[0]"),
        ),
        (
            r#"{"name":"x","allowed_subaccounts":"all"}"#,
            Some("allowed_subaccounts"),
        ),
        (r#"{"name":"x","limits":[]}"#, Some("limits")),
        (
            r#"{"name":"x","limits":{"minute":0}}"#,
            Some("limits.minute"),
        ),
        (
            r#"{"name":"x","limits":{"day":4294967296}}"#,
            Some("limits.day"),
        ),
        (
            r#"{"name":"x","limits":{"second":1}}"#,
            Some("limits.second"),
        ),
    ] {
        let answer = post(&client, "/v1/keys/generate", body.to_owned()).await;
        answer.refused(400, "invalid_request");
        assert_eq!(answer.body["field"].as_str(), field, "{body}: {answer:?}");
        let error = answer.text("/error");
        assert!(
            field.is_none_or(|field| error.contains(field)),
            "{body}: {error}"
        );
        assert!(
            field.is_none() || !error.contains("line 1"),
            "{body}: {error}"
        );
    }

    let ok = name(100);
    assert_eq!(
        post(&client, "/v1/keys/generate?wait_ms=-1", ok.clone())
            .await
            .body["field"],
        "wait_ms"
    );
    assert_eq!(
        (client.total().await, plane.store().revision()),
        (1, revision)
    );
    assert_eq!(
        post(&client, "/v1/keys/generate?wait_ms=0", ok)
            .await
            .status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn invalid_login_is_refused_by_field() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for (body, field) in [
        ("[]", None),
        (r#"{"password":"x"}"#, Some("email")),
        (r#"{"email":"x"}"#, Some("password")),
        (r#"{"email":"x","password":1}"#, Some("password")),
        (
            r#"{"email":"x","password":"x","remember":true}"#,
            Some("remember"),
        ),
    ] {
        let answer = post(&client, "/v1/sessions", body.to_owned()).await;
        answer.refused(400, "invalid_request");
        assert_eq!(answer.body["field"].as_str(), field, "{body}: {answer:?}");
    }
}

#[tokio::test]
async fn invalid_query_is_refused_by_parameter() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=", "limit"),
        ("limit=%2B5", "limit"),
        ("limit=5&limit=6", "limit"),
        ("offset=1", "offset"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=WyJ4IixbMSwxXV0", "cursor"),
        ("state=dead", "state"),
        ("sort=tier", "sort"),
        ("sort=", "sort"),
        ("role=root", "role"),
        ("environment=prod", "environment"),
        ("unused=yes", "unused"),
        ("expires_within_days=x", "expires_within_days"),
        ("expires_within_days=36501", "expires_within_days"),
        ("limt=5", "limt"),
        ("wait_ms=5", "wait_ms"),
    ] {
        let answer = client.get(&format!("/v1/keys?{query}")).await;
        answer.refused(400, "invalid_request");
        assert_eq!(
            answer.body["field"].as_str(),
            Some(field),
            "{query}: {answer:?}"
        );
    }
    let id = client.key("kept").await;
    for query in [
        "wait_ms=30001",
        "wait_ms=soon",
        "wait_ms=1&wait_ms=2",
        "force=1",
    ] {
        client
            .delete(&format!("/v1/keys/{id}?{query}"))
            .await
            .refused(400, "invalid_request");
    }
    client
        .get(&format!("/v1/keys/{id}?x"))
        .await
        .refused(400, "invalid_request");
    client
        .get("/v1/nodes?x")
        .await
        .refused(400, "invalid_request");
    assert_eq!(
        client
            .get(&format!("/v1/keys/{id}"))
            .await
            .at("/data/active"),
        true
    );
}

#[tokio::test]
async fn body_is_json_of_bounded_length() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let body = |len: usize| format!(r#"{{"name":"x"{}}}"#, " ".repeat(len - 12));
    let path = "/v1/keys/generate";
    let answer = post(&client, path, body(1_048_577)).await;
    answer.refused(413, "payload_too_large");
    assert_eq!(
        answer.text("/error"),
        "The body must have at most 1048576 bytes."
    );
    for kind in ["text/plain", "application/x-www-form-urlencoded", ""] {
        let request = client
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, kind)
            .body(body(20));
        Answer::to(request)
            .await
            .refused(415, "unsupported_media_type");
    }
    assert_eq!(client.total().await, 0);
    assert_eq!(
        post(&client, path, body(1_048_576)).await.status,
        StatusCode::CREATED
    );
}
