//! Other spellings of header names that belong to the filter. The upstream folds names as CGI does,
//! like PHP and others. The identity and the subaccount that arrive there are those that the filter
//! has checked.

use latchkey_tests::{Answer, CgiUpstream, Connection, Gateway, request};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// All characters that a name can have instead of `-` (RFC 9110, section 5.6.2).
const SEPARATORS: [char; 14] = [
    '!', '#', '$', '%', '&', '\'', '*', '+', '.', '^', '_', '`', '|', '~',
];

/// Starts a gateway that passes underscores, trailers and upgrades. The filter does not rely on
/// Envoy's options.
async fn gateway() -> Gateway {
    let upstream = CgiUpstream::start().await.unwrap();
    let port = upstream.port();
    let gateway = Gateway::builder().envoy(move |envoy| {
        envoy.upstream_port = port;
        envoy.configuration = json!({ "identity_headers": { "x-consumer-id": "key" } });
        envoy.headers_with_underscores = true;
        envoy.trailers = true;
        envoy.upgrades = vec!["websocket"];
    });
    let gateway = gateway.start().await;
    let rules = json!([
        { "path": { "prefix": "/public" }, "public": true },
        { "path": { "prefix": "/records" }, "subaccount": { "header": "x-subaccount" } }
    ]);
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    gateway
}

/// Returns a variable of the upstream, from the first and from the last header of its name.
fn variable<'a>(answer: &'a Answer, name: &str) -> [Option<&'a str>; 2] {
    assert_eq!(answer.status, 200, "{}", answer.body);
    ["first", "last"].map(|order| answer.body[order][name].as_str())
}

#[tokio::test]
async fn identity_header_spellings_cannot_be_forged() {
    let gateway = gateway().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let mut connection = Connection::to(gateway.envoy.gateway());
    let own = ("x-api-key", key.api_key.as_str());
    for separator in SEPARATORS {
        let names = ["x-latchkey-identity", "X-Consumer-Id"];
        let spelled = names.map(|name| name.replace('-', &separator.to_string()));
        let one = names.map(|name| name.replacen('-', &separator.to_string(), 1));
        let forged: Vec<_> = spelled
            .iter()
            .chain(&one)
            .map(|name| (name.as_str(), "forged"))
            .collect();

        let answer = connection
            .send(&request("GET", "/public", &forged))
            .await
            .unwrap();
        assert_eq!(
            variable(&answer, "X_LATCHKEY_IDENTITY"),
            [None; 2],
            "{separator}: {}",
            answer.body
        );
        assert_eq!(variable(&answer, "X_CONSUMER_ID"), [None; 2], "{separator}");

        for with_key in [
            [&[own][..], &forged].concat(),
            [&forged, &[own][..]].concat(),
        ] {
            let answer = connection
                .send(&request("GET", "/", &with_key))
                .await
                .unwrap();
            for identity in variable(&answer, "X_LATCHKEY_IDENTITY") {
                let genuine = format!("key=\"{}\"", key.key_id);
                assert!(
                    identity.is_some_and(|identity| identity.starts_with(&genuine)),
                    "{separator}: {identity:?}"
                );
            }
            assert_eq!(
                variable(&answer, "X_CONSUMER_ID"),
                [Some(key.key_id.as_str()); 2],
                "{separator}"
            );
        }
    }
}

#[tokio::test]
async fn either_spelling_order_keeps_checked_subaccount() {
    let gateway = gateway().await;
    let allowed = gateway
        .control_plane
        .create_subaccount("dev")
        .await
        .unwrap();
    let other = gateway
        .control_plane
        .create_subaccount("prod")
        .await
        .unwrap();
    let key = json!({ "name": "CI", "allowed_subaccounts": [allowed] });
    let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
    let mut connection = Connection::to(gateway.envoy.gateway());
    for separator in SEPARATORS {
        let name = format!("x{separator}subaccount");
        let (own, forged) = (
            ("x-subaccount", allowed.as_str()),
            (name.as_str(), other.as_str()),
        );
        for headers in [[own, forged], [forged, own]] {
            let headers = [&[("x-api-key", key.as_str())][..], &headers].concat();
            let answer = connection
                .send(&request("GET", "/records", &headers))
                .await
                .unwrap();
            assert_eq!(
                variable(&answer, "X_SUBACCOUNT"),
                [Some(allowed.as_str()); 2],
                "{separator}"
            );
            let public = connection
                .send(&request("GET", "/public", &[forged]))
                .await
                .unwrap();
            assert_eq!(variable(&public, "X_SUBACCOUNT"), [None; 2], "{separator}");
        }
    }
    let honest = [("x-api-key", key.as_str()), ("x-subaccount", &other)];
    assert_eq!(
        connection
            .send(&request("GET", "/records", &honest))
            .await
            .unwrap()
            .code(),
        "subaccount_denied"
    );
}

#[tokio::test]
async fn trailers_cannot_forge_owned_headers() {
    let gateway = gateway().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    let mut connection = Connection::to(gateway.envoy.gateway());
    for separator in SEPARATORS.into_iter().chain(['-']) {
        for (path, own) in [
            ("/public", None),
            ("/", Some(("x-api-key", key.api_key.as_str()))),
        ] {
            let headers = own
                .into_iter()
                .chain([("transfer-encoding", "chunked")])
                .collect::<Vec<_>>();
            let mut bytes = request("POST", path, &headers);
            bytes.extend_from_slice(b"2\r\nhi\r\n0\r\nx-sum: stays\r\n");
            for name in ["x-latchkey-identity", "x-consumer-id", "x-subaccount"] {
                let name = name.replace('-', &separator.to_string());
                bytes.extend_from_slice(format!("{name}: forged\r\n").as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
            let answer = connection.send(&bytes).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert_eq!(
                answer.body["trailers"],
                json!([["x-sum", "stays"]]),
                "{path} {separator}"
            );
        }
    }
}

#[tokio::test]
async fn upgrades_hide_identity_in_connection() {
    let gateway = gateway().await;
    let key = gateway
        .control_plane
        .create_key(json!({ "name": "CI" }))
        .await
        .unwrap();
    for (value, arrives) in [
        ("Upgrade, x-latchkey-identity", Some("Upgrade")),
        (
            "X-Consumer_Id,keep-alive , Upgrade,x.subaccount",
            Some("keep-alive , Upgrade"),
        ),
        ("keep-alive, Upgrade", Some("keep-alive, Upgrade")),
    ] {
        for (path, own) in [
            ("/public", None),
            ("/", Some(("x-api-key", key.api_key.as_str()))),
        ] {
            let upgrade = [
                ("connection", value),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
            ];
            let headers: Vec<_> = own.into_iter().chain(upgrade).collect();
            let mut stream =
                BufReader::new(TcpStream::connect(gateway.envoy.gateway()).await.unwrap());
            stream
                .get_mut()
                .write_all(&request("GET", path, &headers))
                .await
                .unwrap();
            let mut lines = stream.lines();
            assert_eq!(
                lines.next_line().await.unwrap().as_deref(),
                Some("HTTP/1.1 101 Switching Protocols"),
                "{path}"
            );
            while !lines.next_line().await.unwrap().unwrap().is_empty() {}
            let seen = lines.next_line().await.unwrap().unwrap();
            let seen: serde_json::Value = serde_json::from_str(&seen).unwrap();
            assert_eq!(
                seen["last"]["CONNECTION"].as_str(),
                arrives,
                "{path} {value}"
            );
            assert_eq!(
                seen["last"]["X_LATCHKEY_IDENTITY"].is_string(),
                own.is_some(),
                "{path} {value}"
            );
        }
    }
}
