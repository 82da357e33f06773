//! Each credential in each place, and its answer.

use std::time::Duration;

use anyhow::ensure;
use latchkey_tests::{Connection, CreatedKey, Gateway, eventually};
use serde_json::{Value, json};

use crate::unknown_key;

/// Sends one request as bytes that HTTP clients would not send. Returns the status and the body.
pub(super) async fn send_raw(gateway: &Gateway, headers: &[u8]) -> (u16, Value) {
    let request = [b"GET / HTTP/1.1\r\nhost: gateway\r\n", headers, b"\r\n"].concat();
    let answer = Connection::to(gateway.envoy.gateway())
        .send(&request)
        .await
        .unwrap();
    (answer.status, answer.body)
}

#[tokio::test]
async fn each_credential_gets_its_answer() {
    let gateway = Gateway::start().await;
    let CreatedKey {
        key_id,
        api_key: key,
    } = gateway
        .control_plane
        .create_key(json!({ "name": "one" }))
        .await
        .unwrap();
    let other = gateway
        .control_plane
        .create_key(json!({ "name": "two" }))
        .await
        .unwrap()
        .api_key;
    let mut typo = key.clone().into_bytes();
    let last = typo.last_mut().unwrap();
    *last = if *last == b'x' { b'y' } else { b'x' };
    let typo = String::from_utf8(typo).unwrap();
    let (unknown, long) = (unknown_key(), "k".repeat(10_000));
    let foreign = key.replacen("lk_", "vg_", 1);

    let table: &[(&str, Vec<u8>, u16, &str)] = &[
        ("no header", Vec::new(), 401, "missing_key"),
        (
            "an empty header",
            b"x-api-key:\r\n".to_vec(),
            401,
            "missing_key",
        ),
        (
            "nothing but blanks",
            b"x-api-key:    \r\n".to_vec(),
            401,
            "missing_key",
        ),
        (
            "a scheme alone",
            b"authorization: Bearer\r\n".to_vec(),
            401,
            "missing_key",
        ),
        (
            "another scheme",
            b"authorization: Basic dTpw\r\n".to_vec(),
            401,
            "missing_key",
        ),
        (
            "10 kB",
            format!("x-api-key: {long}\r\n").into(),
            401,
            "malformed_key",
        ),
        (
            "bytes that are no text",
            b"x-api-key: lk_live_\xff\xfe\x80\r\n".to_vec(),
            401,
            "malformed_key",
        ),
        (
            "such a bearer",
            b"authorization: Bearer \xc3\x28\r\n".to_vec(),
            401,
            "malformed_key",
        ),
        (
            "a wrong prefix",
            format!("x-api-key: {foreign}\r\n").into(),
            401,
            "malformed_key",
        ),
        (
            "a wrong checksum",
            format!("x-api-key: {typo}\r\n").into(),
            401,
            "malformed_key",
        ),
        (
            "an unknown key",
            format!("x-api-key: {unknown}\r\n").into(),
            401,
            "invalid_key",
        ),
        ("a key", format!("x-api-key: {key}\r\n").into(), 200, ""),
        (
            "a key with blanks around",
            format!("x-api-key: \t {key} \t \r\n").into(),
            200,
            "",
        ),
        (
            "a bearer",
            format!("authorization: Bearer {key}\r\n").into(),
            200,
            "",
        ),
        (
            "a bearer in lower case",
            format!("authorization: bearer {key}\r\n").into(),
            200,
            "",
        ),
        (
            "a bearer in any case",
            format!("Authorization:   bEaReR   {key}  \r\n").into(),
            200,
            "",
        ),
        (
            "the key twice",
            format!("x-api-key: {key}\r\nx-api-key: {key}\r\n").into(),
            200,
            "",
        ),
        (
            "the key in two places",
            format!("x-api-key: {key}\r\nauthorization: Bearer {key}\r\n").into(),
            200,
            "",
        ),
        (
            "two keys under one name",
            format!("x-api-key: {key}\r\nx-api-key: {other}\r\n").into(),
            401,
            "ambiguous_key",
        ),
        (
            "two keys in one header",
            format!("x-api-key: {key}, {other}\r\n").into(),
            401,
            "ambiguous_key",
        ),
        (
            "two keys in two places",
            format!("authorization: Bearer {other}\r\nx-api-key: {key}\r\n").into(),
            401,
            "ambiguous_key",
        ),
        (
            "two bearers",
            format!("authorization: Bearer {key}\r\nauthorization: Bearer {other}\r\n").into(),
            401,
            "ambiguous_key",
        ),
        (
            "a word before the key",
            format!("x-api-key: Bearer {key}\r\n").into(),
            401,
            "malformed_key",
        ),
        (
            "a key and one that is cut",
            format!("x-api-key: {key}, lk_live_cut\r\n").into(),
            401,
            "ambiguous_key",
        ),
        (
            "only foreign credentials",
            "x-api-key: undefined\r\nauthorization: Bearer a.b.c\r\n".into(),
            401,
            "malformed_key",
        ),
    ];
    for (what, headers, status, code) in table {
        let (got, body) = send_raw(&gateway, headers).await;
        let got_code = body["code"].as_str().unwrap_or_default();
        assert_eq!((got, got_code), (*status, *code), "{what}: {body}");
        if *status == 200 {
            for hidden in ["x-api-key", "authorization"] {
                assert_eq!(
                    body["headers"][hidden],
                    Value::Null,
                    "{what}: {hidden} reached the upstream"
                );
            }
        } else {
            assert_eq!(body["status"], "error", "{what}");
            assert!(
                body["message"].is_string() && body["error"].is_string(),
                "{what}: {body}"
            );
        }
    }

    // Each verdict is in a metric and in the access log. No key is in any log or on any page.
    let refused = table
        .iter()
        .filter(|(.., code)| *code == "malformed_key")
        .count();
    assert_eq!(
        gateway
            .envoy
            .stat("wasmcustom.latchkey_requests.malformed_key")
            .await
            .unwrap(),
        refused as u64
    );
    let page = gateway
        .envoy
        .admin_get("/stats/prometheus?filter=latchkey_requests")
        .await
        .unwrap();
    assert!(page.contains(r#"code="malformed_key""#), "{page}");
    let logged = eventually(Duration::from_secs(5), async || {
        let lines = gateway.envoy.access_log();
        for (what, _, status, code) in table {
            let verdict = if *status == 200 { "allowed" } else { code };
            ensure!(
                lines
                    .iter()
                    .any(|line| line["verdict"] == verdict && line["status"] == *status),
                "{what}: {lines:?}"
            );
        }
        ensure!(
            lines.iter().any(|line| line["key"] == key_id),
            "{key_id}: {lines:?}"
        );
        Ok(())
    });
    logged.await.unwrap();
    let everything = [
        gateway.logs(),
        gateway.envoy.admin_get("/stats").await.unwrap(),
        gateway.envoy.admin_get("/config_dump").await.unwrap(),
        gateway.control_plane.metrics().await.unwrap(),
    ];
    for secret in [&key, &other, &typo, &unknown, &long] {
        assert!(
            everything
                .iter()
                .all(|text| !text.contains(secret.as_str())),
            "{secret} is somewhere it must not be"
        );
    }
}
