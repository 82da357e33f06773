//! Paths that differ from a rule's only by letter case, or by dots and spaces at a segment's end.
//! The upstream ignores these differences, like Express, ASP.NET and IIS. The tests also cover
//! `HEAD`, which upstreams answer like `GET`.

use latchkey_tests::{Answer, Connection, Gateway, WireUpstream, arrived_path, request};
use reqwest::Method;
use serde_json::{Value, json};

/// Spellings that such an upstream treats as `/v1/admin/users`.
const SPELLINGS: [&str; 11] = [
    "/V1/Admin/users",
    "/v1/ADMIN/users",
    "/v1/%41dmin/users",
    "/v1/admin./users",
    "/v1/admin../users",
    "/v1/admin%20/users",
    "/v1/admin%2e/users",
    "/v1/admin%C2%A0/users",
    "/v1/admin%E2%80%8B/users",
    "/V1/Admin./users?x=1",
    "/v1/adm%C4%B1n/users",
];

struct World {
    gateway: Gateway,
    key: String,
}

impl World {
    /// Starts a gateway and a key that lacks the permission for `/v1/admin`.
    async fn start() -> Self {
        let upstream = WireUpstream::start().await.unwrap();
        let port = upstream.port();
        let gateway = Gateway::builder()
            .envoy(move |envoy| envoy.upstream_port = port)
            .start()
            .await;
        let key = gateway
            .control_plane
            .create_key(json!({ "name": "CI" }))
            .await
            .unwrap()
            .api_key;
        Self { gateway, key }
    }

    async fn rules(&self, path_case: Option<&str>, rules: Value) {
        let mut document = json!({ "rules": rules, "unmatched": "valid_key" });
        if let Some(path_case) = path_case {
            document["path_case"] = path_case.into();
        }
        self.gateway
            .control_plane
            .put_routes(document)
            .await
            .unwrap();
    }

    async fn ask(&self, path: &str, with_key: bool) -> Answer {
        let headers = [("x-api-key", self.key.as_str())];
        let request = request("GET", path, if with_key { &headers } else { &[] });
        Connection::to(self.gateway.envoy.gateway())
            .send(&request)
            .await
            .unwrap()
    }

    async fn code(&self, path: &str, with_key: bool) -> String {
        self.ask(path, with_key).await.code().to_owned()
    }
}

fn admin() -> Value {
    json!([
        { "path": { "exact": "/health" }, "public": true },
        { "path": { "prefix": "/v1/admin" }, "permission": "admin:read" }
    ])
}

#[tokio::test]
async fn case_and_trailing_dots_bypass_nothing() {
    let world = World::start().await;
    world.rules(None, admin()).await;
    assert_eq!(
        world.code("/v1/admin/users", true).await,
        "missing_permission"
    );
    for path in SPELLINGS {
        assert_eq!(world.code(path, true).await, "out_of_scope", "{path}");
        assert_eq!(world.code(path, false).await, "missing_key", "{path}");
    }
    assert_eq!(world.code("/Health", true).await, "out_of_scope");
    assert_eq!(
        world.code("/Health", false).await,
        "missing_key",
        "it is not public"
    );
    for (path, with_key) in [
        ("/health", false),
        ("/v1/other", true),
        ("/V1/Other.", true),
        ("/v1/Administrators", true),
    ] {
        assert_eq!(world.ask(path, with_key).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn rules_match_any_case_when_configured() {
    let world = World::start().await;
    world.rules(Some("ignore"), admin()).await;
    for path in SPELLINGS {
        let code = world.code(path, true).await;
        assert!(
            ["missing_permission", "out_of_scope"].contains(&code.as_str()),
            "{path}: {code}"
        );
    }
    assert_eq!(
        world.code("/V1/Admin/users", true).await,
        "missing_permission"
    );
    let answer = world.ask("/HEALTH", false).await;
    assert_eq!(
        (answer.status, arrived_path(&answer).unwrap()),
        (200, b"/HEALTH".to_vec()),
        "it goes on as it came"
    );
}

#[tokio::test]
async fn paths_are_case_sensitive_when_configured() {
    let world = World::start().await;
    let rules = json!([
        { "path": { "prefix": "/v1/admin" }, "permission": "admin:read" },
        { "path": { "prefix": "/V1/Admin" }, "public": true }
    ]);
    let document = json!({ "rules": rules.clone() });
    assert!(
        world
            .gateway
            .control_plane
            .put_routes(document)
            .await
            .is_err(),
        "the rules differ by case alone"
    );
    world.rules(Some("distinct"), rules).await;
    assert_eq!(world.code("/v1/admin", true).await, "missing_permission");
    assert_eq!(world.ask("/V1/Admin", false).await.status, 200);
}

#[tokio::test]
async fn subaccount_in_the_path_keeps_its_case() {
    let world = World::start().await;
    let subaccount = json!({ "path": "sub" });
    for path_case in ["refuse", "ignore"] {
        let rule =
            json!([{ "path": { "template": "/sub/{sub}/zones" }, "subaccount": subaccount }]);
        world.rules(Some(path_case), rule).await;
        assert_eq!(
            world.code("/sub/Sub_Unknown/zones", true).await,
            "subaccount_denied",
            "{path_case}"
        );
    }
}

#[tokio::test]
async fn a_rule_for_get_holds_head() {
    let world = World::start().await;
    let rule =
        json!([{ "path": { "prefix": "/admin" }, "methods": ["GET"], "permission": "admin:read" }]);
    world.rules(None, rule).await;
    let Gateway { client, envoy, .. } = &world.gateway;
    for (method, status) in [(Method::GET, 403), (Method::HEAD, 403), (Method::POST, 200)] {
        let request = client
            .request(method.clone(), envoy.url("/admin"))
            .header("x-api-key", &world.key);
        assert_eq!(
            request.send().await.unwrap().status().as_u16(),
            status,
            "{method}"
        );
    }
}
