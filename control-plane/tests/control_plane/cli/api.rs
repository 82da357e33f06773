//! Tests commands against a fake API, for cases that a control plane of a test does not produce:
//! many pages, invalid responses, and responses of other versions. The fake API returns the given
//! responses and records the requests.

mod fake;

use self::fake::Api;
use super::mode;
use serde_json::{Value, json};
use std::fs;

fn key(name: &str) -> Value {
    json!({"key_id": format!("key_{name}"), "name": name, "active": true, "expires_at": null, "revoked_at": null})
}

#[tokio::test]
async fn pages_are_read_only_as_needed() {
    let page = |names: &[&str], next: Value| json!({"keys": names.iter().map(|name| key(name)).collect::<Vec<_>>(), "total": 3, "next_cursor": next});
    let (api, person) =
        Api::start([page(&["a", "b"], json!("two/+")), page(&["c"], json!(null))]).await;
    let output = person
        .json(&["key", "list", "--all", "--state", "all", "--sort", "-name"])
        .await;
    assert_eq!(output["keys"].as_array().unwrap().len(), 3);
    let asked: Vec<_> = api.calls().into_iter().map(|(asked, _)| asked).collect();
    let first = "GET /v1/keys?state=all&sort=-name&limit=1000";
    assert_eq!(
        asked,
        [first.to_owned(), format!("{first}&cursor=two%2F%2B")]
    );

    let (api, person) = Api::start([page(&["a", "b"], json!("more"))]).await;
    let output = person.run(&["key", "list", "--limit", "2"]).await;
    assert_eq!(
        (output.code, output.stderr.as_str()),
        (0, "latchkey: 2 of 3 are shown; --all shows all\n")
    );
    assert_eq!(api.calls()[0].0, "GET /v1/keys?limit=2");
}

#[tokio::test]
async fn key_is_found_by_name() {
    let found = json!({"keys": [key("CI-2"), key("CI")], "total": 2, "next_cursor": null});
    let (api, person) = Api::start([found.clone(), key("CI"), found]).await;
    person.run(&["key", "show", "CI"]).await.done();
    let asked: Vec<_> = api.calls().into_iter().map(|(asked, _)| asked).collect();
    assert_eq!(
        asked,
        ["GET /v1/keys?search=CI&limit=1000", "GET /v1/keys/key_CI"]
    );
    person
        .run(&["key", "show", "C\u{1b}"])
        .await
        .failed(7, "no key is named C\\u{1b}");
}

#[tokio::test]
async fn user_is_found_by_email() {
    let user = json!({"user_id": "usr_1", "email": "a@b.c"});
    let found = json!({"users": [{"user_id": "usr_2", "email": "aa@b.c"}, user], "total": 2, "next_cursor": null});
    let (api, person) = Api::start([found.clone(), user, found]).await;
    person.run(&["user", "show", "A@b.c"]).await.done();
    let asked: Vec<_> = api.calls().into_iter().map(|(asked, _)| asked).collect();
    assert_eq!(
        asked,
        [
            "GET /v1/users?search=A%40b.c&limit=1000",
            "GET /v1/users/usr_1"
        ]
    );
    person
        .run(&["user", "show", "nobody@b.c"])
        .await
        .failed(7, "no user is named nobody@b.c");
}

#[tokio::test]
async fn key_is_regenerated() {
    let mut data = key("CI");
    data["api_key"] = json!("lk_live_another");
    data["secrets"] = json!([{}, {"key_prefix": "lk_live_old", "ends_at": "2027-01-16T08:00:00Z"}]);
    data["enforcement"] = json!({"revision": 7, "nodes": 2, "acknowledged": 1, "elapsed_ms": 9});
    let (api, person) = Api::start([data.clone(), data]).await;
    let output = person
        .run(&[
            "key",
            "regenerate",
            "key_CI",
            "--overlap",
            "24h",
            "--save",
            "ci.pak",
            "--wait",
            "9",
        ])
        .await;
    assert_eq!((output.code, output.stderr.as_str()), (4, ""));
    assert!(output.stdout.contains(
        "The old secret lk_live_old ends 2027-01-16 08:00 UTC. It is in force on 1 of 2"
    ));
    assert!(!output.stdout.contains("lk_live_another"));
    assert_eq!(
        fs::read_to_string(person.path("ci.pak")).unwrap(),
        "lk_live_another\n"
    );
    let expected = (
        "POST /v1/keys/key_CI/regenerate?wait_ms=9".to_owned(),
        json!({"overlap_seconds": 86_400}),
    );
    assert_eq!(api.calls(), [expected]);
    let output = person
        .run(&["key", "regenerate", "key_CI", "--quiet"])
        .await;
    assert_eq!(output.stdout, "lk_live_another\n");
}

/// Covers services, accounts, webhooks and the audit log.
#[tokio::test]
async fn other_resources_send_documented_calls() {
    let done = || json!({});
    let (api, person) = Api::start([done(), done(), done(), done(), done(), done(), done()]).await;
    let person = person
        .with("LATCHKEY_NEW_PASSWORD", "a rather long password")
        .with("LATCHKEY_PASSWORD", "present");
    let create = [
        "account",
        "create",
        "acme",
        "--tier",
        "pro",
        "--admin-email",
        "a@b.c",
    ];
    for (arguments, call, body) in [
        (
            &["service", "create", "dns", "--description", "DNS"][..],
            "POST /v1/services",
            json!({"name": "dns", "description": "DNS"}),
        ),
        (
            &["service", "edit", "dns", "--description", ""],
            "PATCH /v1/services/dns",
            json!({"description": null}),
        ),
        (
            &["service", "delete", "dns"],
            "DELETE /v1/services/dns",
            json!(null),
        ),
        (
            &create,
            "POST /v1/accounts",
            json!({"name": "acme", "tier": "pro", "admin": {"email": "a@b.c", "password": "a rather long password"}}),
        ),
        (
            &["account", "edit", "acc_1", "--disable", "--wait", "5"],
            "PATCH /v1/accounts/acc_1?wait_ms=5",
            json!({"disabled": true}),
        ),
        (
            &["user", "delete", "usr_1"],
            "DELETE /v1/users/usr_1",
            json!(null),
        ),
        (
            &["user", "password"],
            "PUT /v1/users/me/password",
            json!({"current_password": "present", "new_password": "a rather long password"}),
        ),
    ] {
        person.run(arguments).await.done();
        assert_eq!(api.calls(), [(call.to_owned(), body)], "{arguments:?}");
    }
    let entries = json!({"entries": [{"at": "2027-01-15T08:00:00Z", "action": "key.created"}], "next_cursor": null});
    let webhook = json!({"webhook_id": "whk_1", "url": "https://a/b", "secret": "whsec_1"});
    let (api, person) = Api::start([entries, webhook]).await;
    let output = person
        .run(&[
            "audit",
            "--since",
            "2027-01-01T00:00:00Z",
            "--action",
            "key.created",
        ])
        .await
        .done();
    assert!(
        output.contains("2027-01-15 08:00   -       key.created"),
        "{output}"
    );
    assert_eq!(
        api.calls()[0].0,
        "GET /v1/audit?since=2027-01-01T00%3A00%3A00Z&action=key.created&limit=100"
    );
    let create = [
        "webhook",
        "create",
        "https://a/b",
        "--event",
        "key.created",
        "--save",
        "webhook",
    ];
    let output = person.run(&create).await.done();
    assert!(
        output.ends_with("Saved to webhook.\n") && !output.contains("whsec_1"),
        "{output}"
    );
    assert_eq!(
        (
            fs::read_to_string(person.path("webhook")).unwrap().as_str(),
            mode(&person.path("webhook"))
        ),
        ("whsec_1\n", 0o600)
    );
}

#[tokio::test]
async fn webhook_secrets_rotate_and_deliveries_resend() {
    let webhook = json!({"webhook_id": "whk_1", "secret": "whsec_2", "old_secret_ends_at": "2027-01-15T09:00:00Z"});
    let delivery = json!({"delivery_id": "msg_1", "event": "key.created", "state": "failed", "attempts": 11,
        "created_at": "2027-01-15T08:00:00Z", "last_status": 500, "last_error": "the receiver \
         responded with 500\u{1b}[2J"});
    let done = || json!({"delivery_id": "msg_1"});
    let (api, person) =
        Api::start([webhook, json!({"deliveries": [delivery]}), done(), done()]).await;
    let output = person
        .run(&[
            "webhook",
            "rotate",
            "whk_1",
            "--overlap",
            "1h",
            "--save",
            "new",
        ])
        .await
        .done();
    assert!(
        output.contains("Messages are also signed with the old secret until 2027-01-15 09:00 UTC.")
            && !output.contains("whsec_2"),
        "{output}"
    );
    assert_eq!(fs::read_to_string(person.path("new")).unwrap(), "whsec_2\n");
    let output = person
        .run(&["webhook", "deliveries", "whk_1", "--state", "failed"])
        .await
        .done();
    assert!(
        output.contains("msg_1") && output.contains("the receiver responded with 500\\u{1b}[2J"),
        "{output}"
    );
    let output = person
        .run(&["webhook", "resend", "whk_1", "msg_1", "msg_2"])
        .await
        .done();
    assert!(output.contains("msg_2 is sent again"), "{output}");
    assert_eq!(
        api.calls(),
        [
            (
                "POST /v1/webhooks/whk_1/rotate-secret".to_owned(),
                json!({"overlap_seconds": 3_600})
            ),
            (
                "GET /v1/webhooks/whk_1/deliveries?state=failed".to_owned(),
                Value::Null
            ),
            (
                "POST /v1/webhooks/whk_1/deliveries/msg_1/redeliver".to_owned(),
                json!({})
            ),
            (
                "POST /v1/webhooks/whk_1/deliveries/msg_2/redeliver".to_owned(),
                json!({})
            ),
        ]
    );
}

#[tokio::test]
async fn malformed_api_response_is_reported() {
    for (status, body, code, reason) in [
        (
            200,
            json!("hello"),
            1,
            "200: the response is not from Latchkey's API",
        ),
        (
            302,
            json!({}),
            1,
            "302: the server redirects to another address, and redirects are not followed",
        ),
        (
            500,
            json!({"error": "bad\u{1b}[2J"}),
            1,
            "500: bad\\u{1b}[2J",
        ),
        (503, json!(null), 1, "503: "),
        (
            200,
            json!({"status": "success", "data": {}}),
            1,
            "the answer has no list `keys`",
        ),
    ] {
        let (_, person) = Api::answering([(status, body)]).await;
        person.run(&["key", "list"]).await.failed(code, reason);
    }
}

#[tokio::test]
async fn services_are_created_before_their_uses() {
    let there_is = json!({"services": [{"name": "old", "description": null}], "next_cursor": null});
    let (api, person) = Api::start([there_is, json!({}), json!({})]).await;
    let file = person.file(
        "latchkey.yaml",
        "services: [{name: dns, description: DNS}]\n",
    );
    assert_eq!(
        person
            .run(&["apply", "-f", &file, "--prune", "--yes"])
            .await
            .done(),
        "+ service dns\n- service old\n"
    );
    let asked: Vec<_> = api.calls().into_iter().map(|(asked, _)| asked).collect();
    assert_eq!(
        asked,
        [
            "GET /v1/services?limit=1000",
            "POST /v1/services",
            "DELETE /v1/services/old"
        ]
    );
}
