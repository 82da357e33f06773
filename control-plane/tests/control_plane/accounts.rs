//! Tests `/v1/accounts`: the operator creates, restricts and deletes accounts, and no account sees
//! anything of another.

mod isolation;
mod limits;

use crate::harness::{EMAIL, PASSWORD, Plane};
use crate::node::Node;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Returns the actions in the audit, in order.
pub(crate) async fn audited(plane: &Plane) -> Vec<String> {
    let query = "SELECT action FROM audit WHERE action <> 'session.create' ORDER BY seq";
    sqlx::query_scalar(query)
        .fetch_all(&plane.pool().await)
        .await
        .unwrap()
}

/// Returns the account's id from its path.
fn id(path: &str) -> &str {
    path.rsplit_once('/').unwrap().1
}

/// The administrator has permissions in the new account only.
#[tokio::test]
async fn account_is_created_with_confined_administrator() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let admin = json!({"email": " Admin@Acme.example ", "password": PASSWORD});
    let body = json!({"name": " Acme ", "tier": "pro", "admin": admin});
    let made = operator.send(Method::POST, "/v1/accounts", body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.text("/data/account_id");
    assert!(id.starts_with("acc_") && id.len() == 16, "{id}");
    assert_eq!(made.text("/data/admin/email"), "admin@acme.example");
    let path = format!("/v1/accounts/{id}");
    let expected = json!({
        "account_id": id, "name": "Acme", "tier": "pro", "max_keys": 1000, "disabled": false, "operator": false,
        "keys": 0, "users": 1, "created_at": "2027-01-15T08:00:00Z",
    });
    assert_eq!(operator.get(&path).await.at("/data"), &expected);
    let listed = operator.get("/v1/accounts?search=ACME").await;
    assert_eq!(
        listed.at("/data"),
        &json!({"accounts": [expected], "total": 1, "total_is_estimate": false, "next_cursor": null})
    );
    let own = operator.get("/v1/accounts?limit=1").await;
    assert_eq!(
        (
            own.number("/data/total"),
            own.at("/data/accounts/0/operator")
        ),
        (2, &json!(true))
    );
    assert_eq!(own.at("/data/accounts/0/max_keys"), &Value::Null);

    let acme = plane.client("admin@acme.example").await;
    let key = acme.generate(json!({"name": "CI"})).await;
    assert_eq!(
        (key.status, key.text("/data/tier")),
        (StatusCode::CREATED, "pro".to_owned())
    );
    acme.user("zoe@acme.example", json!({"roles": ["admin"]}))
        .await;
    let counted = operator.get(&path).await;
    assert_eq!(
        (counted.number("/data/keys"), counted.number("/data/users")),
        (1, 2)
    );
    for (method, path) in [
        (Method::GET, "/v1/accounts"),
        (Method::GET, &path),
        (Method::GET, "/v1/nodes"),
        (Method::GET, "/v1/routes"),
        (Method::DELETE, &path),
    ] {
        acme.send(method, path, json!({}))
            .await
            .refused(403, "missing_permission");
    }
    assert_eq!(
        audited(&plane).await,
        [
            "user.create",
            "account.create",
            "user.create",
            "key.create",
            "user.create"
        ]
    );
}

#[tokio::test]
async fn invalid_account_is_refused_by_field() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (path, _) = operator.account("other", json!({})).await;
    for (change, field) in [
        (json!({"name": " "}), "name"),
        (json!({"tier": "gold"}), "tier"),
        (json!({"max_keys": -1}), "max_keys"),
        (json!({"max_keys": "many"}), "max_keys"),
        (json!({"keys": 1}), "keys"),
    ] {
        operator
            .patch(&path, change.clone())
            .await
            .refused_by(400, "invalid_request", field);
        let mut body =
            json!({"name": "x", "tier": "pro", "admin": {"email": "x@x", "password": PASSWORD}});
        body.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        operator
            .send(Method::POST, "/v1/accounts", body)
            .await
            .refused_by(400, "invalid_request", field);
    }
    for (admin, status, code, field) in [
        (
            json!({"email": "x", "password": PASSWORD}),
            400,
            "invalid_request",
            "admin.email",
        ),
        (
            json!({"email": "x@x", "password": "short"}),
            400,
            "invalid_request",
            "admin.password",
        ),
        (
            json!({"email": "x@x"}),
            400,
            "invalid_request",
            "admin.password",
        ),
        (json!(["x@x", PASSWORD]), 400, "invalid_request", "admin"),
        (
            json!({"email": EMAIL, "password": PASSWORD}),
            409,
            "email_taken",
            "admin.email",
        ),
    ] {
        let body = json!({"name": "x", "tier": "pro", "admin": admin});
        operator
            .send(Method::POST, "/v1/accounts", body)
            .await
            .refused_by(status, code, field);
    }
    operator
        .patch(&path, json!({"tier": null}))
        .await
        .refused_by(400, "invalid_request", "tier");
    for path in ["/v1/accounts/acc_000000000000", "/v1/accounts/%ff"] {
        operator.get(path).await.refused(404, "account_not_found");
        operator
            .patch(path, json!({"name": "x"}))
            .await
            .refused(404, "account_not_found");
        operator
            .delete(path)
            .await
            .refused(404, "account_not_found");
    }
    assert_eq!(operator.get("/v1/accounts").await.number("/data/total"), 2);
}

#[tokio::test]
async fn account_key_count_is_bounded() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (path, other) = operator.account("other", json!({"max_keys": 2})).await;
    let kept = other.key("one").await;
    let gone = other.key("two").await;
    let revision = plane.store().revision();
    let refused = other.generate(json!({"name": "three"})).await;
    refused.refused(403, "key_limit");
    assert_eq!(refused.text("/message"), "Account key limit reached");
    assert!(refused.text("/error").contains("at most 2"), "{refused:?}");
    assert_eq!(plane.store().revision(), revision);
    other.delete(&format!("/v1/keys/{gone}")).await;
    other.delete(&format!("/v1/keys/{gone}")).await;
    other.key("three").await;

    let lowered = operator.patch(&path, json!({"max_keys": 1})).await;
    assert_eq!(
        (
            lowered.number("/data/max_keys"),
            lowered.number("/data/keys")
        ),
        (1, 2)
    );
    other
        .generate(json!({"name": "four"}))
        .await
        .refused(403, "key_limit");
    assert_eq!(
        other
            .patch(&format!("/v1/keys/{kept}"), json!({"active": false}))
            .await
            .status,
        StatusCode::OK
    );
    other.delete(&format!("/v1/keys/{kept}")).await;
    other
        .generate(json!({"name": "four"}))
        .await
        .refused(403, "key_limit");
    assert_eq!(
        operator
            .patch(&path, json!({"max_keys": null}))
            .await
            .at("/data/max_keys"),
        &Value::Null
    );
    other.key("four").await;
}

#[tokio::test]
async fn disabled_account_is_refused_until_enabled() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (path, other) = operator.account("other", json!({})).await;
    other.key("CI").await;
    operator.key("operators").await;
    let mut node = Node::ready(&plane).await;
    let untouched = node.snapshot.policy("operators").clone();
    for disabled in [true, false] {
        let change = json!({"disabled": disabled});
        let (answer, _) = tokio::join!(operator.patch(&path, change.clone()), node.publish());
        assert_eq!(
            (answer.at("/data/disabled"), answer.enforcement()),
            (&json!(disabled), (1, 1))
        );
        assert_eq!(node.snapshot.policy("CI").account_disabled, disabled);
        other.get("/v1/keys").await.refused(401, "invalid_session");
        let revision = plane.store().revision();
        let again = operator.patch(&path, change).await;
        assert_eq!(
            again.number("/data/enforcement/revision"),
            revision,
            "what makes no difference changes nothing"
        );
        let login = plane.log_in_as("admin@other", PASSWORD).await.status;
        assert_eq!(login == StatusCode::OK, !disabled);
    }
    assert_eq!(node.snapshot.policy("operators"), &untouched);
    let own = format!("/v1/accounts/{}", plane.owner().await.0);
    operator
        .patch(&own, json!({"disabled": true}))
        .await
        .refused(409, "operators_account");
    assert_eq!(
        operator
            .patch(&own, json!({"name": "ours"}))
            .await
            .text("/data/name"),
        "ours"
    );
}

#[tokio::test]
async fn closed_account_stays_closed() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    let (path, other) = operator.account("other", json!({"tier": "pro"})).await;
    let [one, two] = [other.key("one").await, other.key("two").await];
    let key = other
        .generate(json!({"name": "three", "permissions": ["account:*"]}))
        .await
        .text("/data/api_key");
    other.user("zoe@other", json!({})).await;
    operator.key("operators").await;
    let mut node = Node::ready(&plane).await;
    let revision = plane.store().revision();
    plane.clock.advance(60);
    let (closed, batches) = tokio::join!(operator.delete(&path), node.publish());
    assert_eq!(
        (closed.status, closed.enforcement()),
        (StatusCode::OK, (1, 1)),
        "{closed:?}"
    );
    assert_eq!(closed.text("/data/closed_at"), "2027-01-15T08:01:00Z");
    assert_eq!(
        (closed.number("/data/keys"), closed.number("/data/users")),
        (0, 0)
    );
    assert_eq!(
        plane.store().revision(),
        revision + 1,
        "all of it is one revision"
    );
    let [batch] = batches.as_slice() else {
        panic!("{batches:?}")
    };
    assert_eq!(batch.removed_keys.len(), 3 * 32);
    assert_eq!(node.snapshot.names(), ["operators"]);

    plane.clock.advance(60);
    let again = operator.delete(&path).await;
    assert_eq!(again.text("/data/closed_at"), "2027-01-15T08:01:00Z");
    assert_eq!(plane.store().revision(), revision + 1);
    other.get("/v1/keys").await.refused(401, "invalid_session");
    let request = plane.request(Method::GET, "/v1/keys").bearer_auth(&key);
    crate::harness::Answer::to(request)
        .await
        .refused(401, "invalid_key");
    for email in ["admin@other", "zoe@other"] {
        plane
            .log_in_as(email, PASSWORD)
            .await
            .refused(401, "invalid_credentials");
    }
    assert_eq!(
        operator.get(&path).await.text("/data/closed_at"),
        "2027-01-15T08:01:00Z"
    );
    assert_eq!(operator.get("/v1/accounts").await.number("/data/total"), 1);
    operator
        .patch(&path, json!({"disabled": false}))
        .await
        .refused(409, "account_closed");
    operator.account("other", json!({})).await;

    let own = format!("/v1/accounts/{}", plane.owner().await.0);
    operator
        .delete(&own)
        .await
        .refused(409, "operators_account");
    let mut tiers = operator.get("/v1/tiers").await.at("/data").clone();
    tiers["tiers"]
        .as_array_mut()
        .unwrap()
        .retain(|tier| tier["name"] != "pro");
    assert_eq!(
        operator.put("/v1/tiers", tiers).await.status,
        StatusCode::OK,
        "nobody has it any more"
    );
    let actions = audited(&plane).await;
    let (reported, rest): (Vec<_>, Vec<_>) =
        actions.iter().partition(|action| *action == "key.revoke");
    assert_eq!(
        (
            reported.len(),
            rest.iter()
                .filter(|action| **action == "account.delete")
                .count()
        ),
        (3, 1)
    );
    let reported: Vec<String> =
        sqlx::query_scalar("SELECT target_id FROM audit WHERE action = 'key.revoke'")
            .fetch_all(&plane.pool().await)
            .await
            .unwrap();
    assert!(
        reported.contains(&one) && reported.contains(&two),
        "{reported:?}"
    );
}
