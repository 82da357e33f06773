//! Tests changes whose caller loses the permission while the request is being sent.

use crate::harness::{Client, PASSWORD, Plane, imported};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A request of which all but the last byte has been sent.
struct Unfinished {
    stream: TcpStream,
    last: u8,
}

impl Unfinished {
    /// Begins the request. Returns once the control plane waits for the body, and so has
    /// authenticated the caller.
    async fn begin(
        plane: &Plane,
        client: &Client<'_>,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Self {
        let address = plane.http_url();
        let mut stream = TcpStream::connect(address.strip_prefix("http://").unwrap())
            .await
            .unwrap();
        let body = body.to_string();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            client.token,
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let expected = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut reported = vec![0; expected.len()];
        stream.read_exact(&mut reported).await.unwrap();
        assert_eq!(reported, expected);
        let (last, rest) = body.as_bytes().split_last().unwrap();
        stream.write_all(rest).await.unwrap();
        Self {
            stream,
            last: *last,
        }
    }

    /// Sends the last byte, and returns the status and the body of the response.
    async fn end(mut self) -> (u16, Value) {
        self.stream.write_all(&[self.last]).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (
            head.split(' ').nth(1).unwrap().parse().unwrap(),
            serde_json::from_str(body).unwrap(),
        )
    }
}

/// Returns every call that changes something and has a body.
fn changes(key: &str, user: &str) -> [(Method, String, Value); 11] {
    let admin = json!({"email": "late@localhost", "password": PASSWORD});
    [
        (
            Method::POST,
            "/v1/services".to_owned(),
            json!({"name": "late"}),
        ),
        (
            Method::POST,
            "/v1/accounts".to_owned(),
            json!({"name": "late", "tier": "free", "admin": admin}),
        ),
        (
            Method::POST,
            "/v1/keys/generate".to_owned(),
            json!({"name": "late"}),
        ),
        (
            Method::POST,
            "/v1/keys/import".to_owned(),
            json!({"keys": [imported("later", "sk-0")]}),
        ),
        (
            Method::POST,
            format!("{key}/regenerate"),
            json!({"overlap_seconds": 60}),
        ),
        (Method::PATCH, key.to_owned(), json!({"active": false})),
        (
            Method::POST,
            "/v1/users".to_owned(),
            json!({"email": "late@localhost", "password": PASSWORD}),
        ),
        (
            Method::PATCH,
            user.to_owned(),
            json!({"password": "another password"}),
        ),
        (
            Method::POST,
            "/v1/subaccounts".to_owned(),
            json!({"name": "late"}),
        ),
        (
            Method::PUT,
            "/v1/tiers".to_owned(),
            json!({"tiers": [{"name": "basic", "limits": {}}]}),
        ),
        (
            Method::PUT,
            "/v1/routes".to_owned(),
            json!({"rules": [], "unmatched": "deny"}),
        ),
    ]
}

/// Begins each change as a permitted user, applies `change` to that user, and expects each begun
/// change to be refused.
async fn refused_after(change: Value, status: u16, code: &str) {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let key = format!("/v1/keys/{}", admin.key("CI").await);
    let other = admin.user("other@localhost", json!({})).await;
    let path = admin
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let zoe = plane.client("zoe@localhost").await;
    let mut begun = Vec::new();
    for (method, path, body) in changes(&key, &other) {
        begun.push((
            Unfinished::begin(&plane, &zoe, &method, &path, &body).await,
            format!("{method} {path}"),
        ));
    }
    assert_eq!(admin.patch(&path, change).await.status, StatusCode::OK);
    let revision = plane.store().revision();
    for (request, name) in begun {
        let (answered, body) = request.end().await;
        assert_eq!(
            (answered, body["code"].as_str()),
            (status, Some(code)),
            "{name}: {body}"
        );
    }
    assert_eq!(plane.store().revision(), revision);
    assert_eq!(admin.get("/v1/users").await.number("/data/total"), 3);
    assert_eq!(
        plane.log_in_as("other@localhost", PASSWORD).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn user_disabled_meanwhile_changes_nothing() {
    refused_after(json!({"disabled": true}), 401, "invalid_session").await;
}

#[tokio::test]
async fn permission_lost_meanwhile_is_required() {
    refused_after(
        json!({"roles": ["read_only_admin"]}),
        403,
        "missing_permission",
    )
    .await;
}

#[tokio::test]
async fn permission_lost_meanwhile_is_not_granted() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let dev = admin.subaccount("dev").await;
    let path = admin
        .user("zoe@localhost", json!({"roles": ["admin"]}))
        .await;
    let zoe = plane.client("zoe@localhost").await;
    let user = |field: &str, value: Value| json!({"email": "late@localhost", "password": PASSWORD, field: value});
    let (plain, mut granting) = (imported("late", "sk-0"), imported("later", "sk-1"));
    granting["permissions"] = json!(["dns:read"]);
    let mut begun = Vec::new();
    for (path, body, field, code) in [
        (
            "/v1/keys/generate",
            json!({"name": "late", "roles": ["dns_manager"]}),
            "roles",
            "missing_permission",
        ),
        (
            "/v1/keys/generate",
            json!({"name": "late", "allowed_subaccounts": [dev]}),
            "allowed_subaccounts[0]",
            "subaccount_denied",
        ),
        (
            "/v1/keys/import",
            json!({"keys": [plain, granting]}),
            "keys[1].permissions",
            "missing_permission",
        ),
        (
            "/v1/users",
            user("roles", json!(["dns_manager"])),
            "roles",
            "missing_permission",
        ),
        (
            "/v1/users",
            user("subaccounts", json!("all")),
            "subaccounts",
            "subaccount_denied",
        ),
    ] {
        begun.push((
            Unfinished::begin(&plane, &zoe, &Method::POST, path, &body).await,
            field,
            code,
        ));
    }
    admin
        .patch(
            &path,
            json!({"roles": [], "permissions": ["account:*"], "subaccounts": []}),
        )
        .await;
    for (request, field, code) in begun {
        let (status, body) = request.end().await;
        assert_eq!(
            (status, &body["code"], &body["field"]),
            (403, &json!(code), &json!(field)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn change_of_an_unchanged_caller_is_made() {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let body = json!({"name": "late"});
    let request =
        Unfinished::begin(&plane, &admin, &Method::POST, "/v1/keys/generate", &body).await;
    assert_eq!(request.end().await.0, 201);
}
