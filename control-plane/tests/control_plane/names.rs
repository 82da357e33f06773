//! Tests names, email addresses and descriptions: the permitted characters, and how names are
//! compared.

use crate::harness::{PASSWORD, Plane, imported};
use crate::node::Node;
use reqwest::{Method, StatusCode};
use serde_json::json;

/// Names that look like `Prod`.
const LOOK_ALIKES: [&str; 7] = [
    "Prod\u{200b}",
    "Pr\u{ad}od",
    "\u{202e}Prod",
    "Prod\u{2066}",
    "\u{feff}Prod",
    "Pro\u{34f}d",
    "Prod\u{3164}",
];

#[tokio::test]
async fn look_alike_names_are_refused() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let key = client.key("Prod").await;
    let subaccount = client.subaccount("Prod").await;
    let user = client.user("prod@example.com", json!({"roles": []})).await;
    let admin = json!({"email": "other@example.com", "password": "correct horse battery"});
    for name in LOOK_ALIKES
        .into_iter()
        .chain(["a\u{1b}b", "a\u{0}b", "key_1", "usr_000000000000"])
    {
        let refused = [
            client.generate(json!({"name": name})).await,
            client
                .patch(&format!("/v1/keys/{key}"), json!({"name": name}))
                .await,
            client
                .send(Method::POST, "/v1/subaccounts", json!({"name": name}))
                .await,
            client
                .patch(
                    &format!("/v1/subaccounts/{subaccount}"),
                    json!({"name": name}),
                )
                .await,
            client
                .send(
                    Method::POST,
                    "/v1/accounts",
                    json!({"name": name, "tier": "free", "admin": admin}),
                )
                .await,
        ];
        for answer in refused {
            answer.refused_by(400, "invalid_request", "name");
        }
        let import = client
            .send(
                Method::POST,
                "/v1/keys/import",
                json!({"keys": [imported(name, "sk-0123456789")]}),
            )
            .await;
        import.refused_by(400, "invalid_request", "keys[0].name");
    }
    for email in [
        "\u{202e}prod@example.com",
        "prod\u{200b}@example.com",
        "prod@exam\u{ad}ple.com",
    ] {
        let body = json!({"email": email, "password": "correct horse battery"});
        client
            .send(Method::POST, "/v1/users", body)
            .await
            .refused_by(400, "invalid_request", "email");
        let edit = client.patch(&user, json!({"email": email})).await;
        edit.refused_by(400, "invalid_request", "email");
    }
    for text in ["\u{1b}[31mred", "a\u{0}", "a\rb", "\u{202e}a"] {
        client
            .generate(json!({"name": "CI", "description": text}))
            .await
            .refused_by(400, "invalid_request", "description");
        let service = json!({"name": "dns", "description": text});
        client
            .send(Method::POST, "/v1/services", service)
            .await
            .refused_by(400, "invalid_request", "description");
    }
}

#[tokio::test]
async fn differently_normalized_names_are_taken() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let made = client.generate(json!({"name": "Cafe\u{301}"})).await;
    assert_eq!(made.text("/data/name"), "Caf\u{e9}");
    client
        .generate(json!({"name": "Caf\u{e9}"}))
        .await
        .refused(409, "name_taken");
    client
        .user("jos\u{e9}@example.com", json!({"roles": []}))
        .await;
    let again = json!({"email": "JOSE\u{301}@example.com", "password": "correct horse battery"});
    client
        .send(Method::POST, "/v1/users", again)
        .await
        .refused(409, "email_taken");
    plane.client("jose\u{301}@EXAMPLE.com").await;
    let search = client.get("/v1/keys?search=cafe%CC%81").await;
    assert_eq!(search.number("/data/total"), 1);
}

/// Replaces the database by one from before names were normalized, with these statements, names and
/// ids.
async fn rename_as_before(plane: &mut Plane, renames: &[(&'static str, &str, &str)]) {
    let pool = plane.pool().await;
    for (update, name, id) in renames {
        sqlx::query(*update)
            .bind(name)
            .bind(id)
            .execute(&pool)
            .await
            .unwrap();
    }
    sqlx::query("UPDATE meta SET names_normalized = FALSE")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    plane.restart().await;
}

const KEY: &str = "UPDATE keys SET name = ? WHERE id = ?";
const USER: &str = "UPDATE users SET email = ? WHERE id = ?";
const SUBACCOUNT: &str = "UPDATE subaccounts SET name = ? WHERE id = ?";

#[tokio::test]
async fn old_names_are_normalized() {
    let mut plane = Plane::start().await;
    let client = plane.log_in().await;
    let (one, two, other) = (
        client.key("one").await,
        client.key("Caf\u{e9}").await,
        client.key("two").await,
    );
    let subaccount = client.subaccount("one").await;
    let user = client.user("one@example.com", json!({"roles": []})).await;
    let twin = client
        .user("jos\u{e9}@example.com", json!({"roles": []}))
        .await;
    let revision = plane.store().revision();
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let renames = [
        (KEY, "E\u{301}cole", one.as_str()),
        (KEY, "Cafe\u{301}", other.as_str()),
        (SUBACCOUNT, "De\u{301}v", subaccount.as_str()),
        (USER, "jose\u{301}@example.com", &id(&user)),
    ];
    rename_as_before(&mut plane, &renames).await;
    let client = plane.log_in().await;
    let named =
        async |path: String, field: &str| client.get(&path).await.text(&format!("/data/{field}"));
    assert_eq!(named(format!("/v1/keys/{one}"), "name").await, "\u{c9}cole");
    assert_eq!(named(format!("/v1/keys/{two}"), "name").await, "Caf\u{e9}");
    assert_eq!(
        named(format!("/v1/keys/{other}"), "name").await,
        "Cafe\u{301}",
        "it collides and stays"
    );
    assert_eq!(
        client
            .get("/v1/subaccounts")
            .await
            .text("/data/subaccounts/0/name"),
        "D\u{e9}v"
    );
    assert_eq!(plane.store().revision(), revision + 1);
    let node = Node::ready(&plane).await;
    assert_eq!(
        node.snapshot.names(),
        ["Cafe\u{301}", "Caf\u{e9}", "\u{c9}cole"],
        "nodes are sent the new names"
    );

    // A key whose name collides is used by its id, and each of the two users logs in with their own
    // spelling.
    assert_eq!(
        client
            .patch(&format!("/v1/keys/{other}"), json!({"description": "x"}))
            .await
            .status,
        StatusCode::OK
    );
    for (email, user) in [
        ("jose\u{301}@example.com", &user),
        ("jos\u{e9}@example.com", &twin),
    ] {
        let answer = plane.log_in_as(email, PASSWORD).await;
        assert_eq!(answer.text("/data/user/id"), id(user), "{answer:?}");
    }
    plane.restart().await;
    assert_eq!(plane.store().revision(), revision + 2, "it is done once");
    let client = plane.log_in().await;
    assert_eq!(
        client
            .patch(&format!("/v1/keys/{other}"), json!({"name": "three"}))
            .await
            .status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn hidden_characters_stay_usable_but_escaped() {
    let mut plane = Plane::start().await;
    let key = plane.log_in().await.key("old").await;
    rename_as_before(&mut plane, &[(KEY, "\u{202e}dlo", &key)]).await;
    let client = plane.log_in().await;
    let path = format!("/v1/keys/{key}");
    assert_eq!(
        client
            .patch(&path, json!({"description": "x"}))
            .await
            .text("/data/name"),
        "\u{202e}dlo"
    );
    let page = |path: String| {
        plane
            .request(Method::GET, &path)
            .header("cookie", format!("latchkey_session={}", client.token))
    };
    let list = page("/console/keys".to_owned())
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        list.contains("\\u{202e}dlo") && !list.contains('\u{202e}'),
        "{list}"
    );
    let form = page(format!("/console/keys/{key}/edit"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        form.contains("value=\"\u{202e}dlo\""),
        "what is edited is not changed by being shown: {form}"
    );
    assert_eq!(
        client.patch(&path, json!({"name": "new"})).await.status,
        StatusCode::OK
    );
}
