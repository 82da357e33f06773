//! Tests lists: paged, sorted, filtered and searched.

mod bounds;

use crate::harness::{Client, Plane};
use reqwest::StatusCode;
use serde_json::json;

/// Returns the names on all pages of a list of keys, with at most `limit` names per page.
async fn pages(client: &Client<'_>, query: &str, limit: usize) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = client
            .get(&format!("/v1/keys?limit={limit}&{query}{cursor}"))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
        let keys = answer.at("/data/keys").as_array().unwrap();
        pages.push(
            keys.iter()
                .map(|key| key["name"].as_str().unwrap().to_owned())
                .collect(),
        );
        match answer.at("/data/next_cursor").as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

/// Returns all names of a list, independent of the page size.
async fn names(client: &Client<'_>, query: &str) -> Vec<String> {
    let all = pages(client, query, 1_000).await;
    let [whole] = all.as_slice() else {
        panic!("{all:?}")
    };
    let total = client
        .get(&format!("/v1/keys?{query}"))
        .await
        .number("/data/total");
    assert_eq!(usize::try_from(total).unwrap(), whole.len(), "{query}");
    for limit in [1, 2] {
        let pages = pages(client, query, limit).await;
        assert!(
            pages.iter().rev().skip(1).all(|page| page.len() == limit),
            "{query}: {pages:?}"
        );
        assert!(
            pages.len() == 1 || !pages.last().unwrap().is_empty(),
            "{query}: a page of nothing"
        );
        assert_eq!(&pages.concat(), whole, "{query}, {limit} a page");
    }
    whole.clone()
}

/// Creates keys of all kinds. Each is one second younger than the one before.
async fn world() -> Plane {
    let plane = Plane::start().await;
    let admin = plane.log_in().await;
    let holding = json!({"roles": ["dns_manager"], "permissions": ["account:apikeys:*"]});
    admin.user("zoe@localhost", holding).await;
    let zoe = plane.client("zoe@localhost").await;
    for (client, body) in [
        (&admin, json!({"name": "alpha", "tier": "free"})),
        (
            &admin,
            json!({"name": "Beta", "description": "50%_off \\o/", "environment": "test"}),
        ),
        (
            &zoe,
            json!({"name": "gamma", "roles": ["dns_manager"], "expires_at": 1_800_000_000 + 86_400}),
        ),
        (
            &admin,
            json!({"name": "delta", "expires_at": 1_800_000_000 + 3 * 86_400}),
        ),
        (
            &admin,
            json!({"name": "Epsilon", "expires_at": 1_800_000_000 + 60}),
        ),
        (&admin, json!({"name": "zeta"})),
        (&admin, json!({"name": "eta"})),
    ] {
        let id = client.generate(body.clone()).await.text("/data/key_id");
        match body["name"].as_str().unwrap() {
            "zeta" => {
                _ = client
                    .patch(&format!("/v1/keys/{id}"), json!({"active": false}))
                    .await;
            }
            "eta" => _ = client.delete(&format!("/v1/keys/{id}")).await,
            _ => {}
        }
        plane.clock.advance(1);
    }
    let used = "UPDATE keys SET last_used_at = 1800000000 + seq WHERE name IN ('alpha', 'delta')";
    sqlx::query(used)
        .execute(&plane.pool().await)
        .await
        .unwrap();
    plane.clock.advance(60);
    plane
}

#[tokio::test]
async fn keys_are_listed_in_the_requested_order() {
    let plane = world().await;
    let client = plane.log_in().await;
    for (sort, expected) in [
        ("", "zeta Epsilon delta gamma Beta alpha"),
        ("sort=-created_at", "zeta Epsilon delta gamma Beta alpha"),
        ("sort=created_at", "alpha Beta gamma delta Epsilon zeta"),
        ("sort=name", "alpha Beta delta Epsilon gamma zeta"),
        ("sort=-name", "zeta gamma Epsilon delta Beta alpha"),
        ("sort=expires_at", "Epsilon gamma delta alpha Beta zeta"),
        ("sort=-expires_at", "delta gamma Epsilon zeta Beta alpha"),
        ("sort=last_used_at", "alpha delta Beta gamma Epsilon zeta"),
        ("sort=-last_used_at", "delta alpha zeta Epsilon gamma Beta"),
    ] {
        assert_eq!(names(&client, sort).await.join(" "), expected, "{sort}");
    }
}

#[tokio::test]
async fn keys_are_filtered_and_searched() {
    let plane = world().await;
    let client = plane.log_in().await;
    let beta = client.get("/v1/keys?search=beta").await;
    let (id, prefix) = (
        beta.text("/data/keys/0/key_id"),
        beta.text("/data/keys/0/key_prefix"),
    );
    let zoe = client
        .get("/v1/users?search=zoe@")
        .await
        .text("/data/users/0/user_id");
    for (query, expected) in [
        ("state=live", "alpha Beta gamma delta Epsilon zeta"),
        ("state=active", "alpha Beta gamma delta"),
        ("state=disabled", "zeta"),
        ("state=expired", "Epsilon"),
        ("state=revoked", "eta"),
        ("state=all", "alpha Beta gamma delta Epsilon zeta eta"),
        ("role=dns_manager", "gamma"),
        ("role=admin", ""),
        ("tier=free", "alpha"),
        ("tier=gold", ""),
        ("environment=test", "Beta"),
        ("environment=live&state=active", "alpha gamma delta"),
        ("owner=ZOE@localhost", "gamma"),
        (&format!("owner={zoe}"), "gamma"),
        ("owner=nobody", ""),
        ("expires_within_days=1", "gamma"),
        ("expires_within_days=3", "gamma delta"),
        ("unused=true", "Beta gamma Epsilon zeta"),
        ("unused=false", "alpha delta"),
        ("search=", "alpha Beta gamma delta Epsilon zeta"),
        ("search=EPSIL", "Epsilon"),
        ("search=50%25_", "Beta"),
        ("search=0%25o", ""),
        ("search=%25", "Beta"),
        ("search=_", "alpha Beta gamma delta Epsilon zeta"),
        ("search=%5Co", "Beta"),
        (&format!("search={id}"), "Beta"),
        (&format!("search={prefix}"), "Beta"),
        ("search=dns_manager", ""),
    ] {
        let sorted = if query.contains("sort=") {
            query.to_owned()
        } else {
            format!("{query}&sort=created_at")
        };
        assert_eq!(names(&client, &sorted).await.join(" "), expected, "{query}");
    }
    let long = "x".repeat(101);
    client
        .get(&format!("/v1/keys?search={long}"))
        .await
        .refused_by(400, "invalid_request", "search");
}

#[tokio::test]
async fn key_lists_omit_ip_lists() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let lists = json!({"allowed_ips": ["10.0.0.0/8", {"cidr": "192.0.2.1", "enabled": false}], "denied_ips": ["::1"]});
    client
        .generate(
            json!({"name": "listed", "allowed_ips": lists["allowed_ips"], "denied_ips": ["::1"]}),
        )
        .await;
    let summary = client.get("/v1/keys").await;
    let key = summary.at("/data/keys/0").as_object().unwrap();
    assert!(
        !key.contains_key("allowed_ips") && !key.contains_key("denied_ips"),
        "{key:?}"
    );
    assert_eq!(
        (&key["allowed_ips_count"], &key["denied_ips_count"]),
        (&json!(2), &json!(1))
    );
    let whole = client.get("/v1/keys?include=ip_lists").await;
    let single = client
        .get(&format!("/v1/keys/{}", key["key_id"].as_str().unwrap()))
        .await;
    for answer in [whole.at("/data/keys/0"), single.at("/data")] {
        assert_eq!(
            answer["allowed_ips"][1],
            json!({"cidr": "192.0.2.1/32", "enabled": false}),
            "{answer}"
        );
        assert_eq!(
            (
                &answer["denied_ips"][0]["cidr"],
                &answer["allowed_ips_count"]
            ),
            (&json!("::1/128"), &json!(2))
        );
    }
    client
        .get("/v1/keys?include=secrets")
        .await
        .refused_by(400, "invalid_request", "include");
}

#[tokio::test]
async fn cursor_is_valid_for_its_list_only() {
    let plane = world().await;
    let client = plane.log_in().await;
    let cursor = client
        .get("/v1/keys?limit=1&sort=name&search=a&tier=basic")
        .await
        .text("/data/next_cursor");
    let with = |query: &str| format!("/v1/keys?cursor={cursor}&{query}");
    let same = client
        .get(&with("limit=9&tier=basic&search=a&sort=name"))
        .await;
    assert_eq!(same.status, StatusCode::OK, "{same:?}");
    for other in [
        "",
        "sort=name&search=a",
        "sort=-name&search=a&tier=basic",
        "sort=name&search=b&tier=basic",
        "sort=name&tier=basic",
        "sort=name&search=a&tier=basic&state=all",
    ] {
        client
            .get(&with(other))
            .await
            .refused_by(400, "invalid_request", "cursor");
    }
    client
        .get(&format!("/v1/users?cursor={cursor}"))
        .await
        .refused_by(400, "invalid_request", "cursor");
}

#[tokio::test]
async fn concurrent_changes_shift_no_page() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let mut ids = Vec::new();
    for name in ["one", "two", "three", "four"] {
        ids.push(client.key(name).await);
    }
    let first = client.get("/v1/keys?limit=2").await;
    assert_eq!(
        [
            first.text("/data/keys/0/name"),
            first.text("/data/keys/1/name")
        ],
        ["four", "three"]
    );
    client.key("five").await;
    client.delete(&format!("/v1/keys/{}", ids[2])).await;
    let second = client
        .get(&format!(
            "/v1/keys?limit=2&cursor={}",
            first.text("/data/next_cursor")
        ))
        .await;
    assert_eq!(
        [
            second.text("/data/keys/0/name"),
            second.text("/data/keys/1/name")
        ],
        ["two", "one"]
    );
    assert_eq!(
        (second.number("/data/total"), second.at("/data/next_cursor")),
        (4, &json!(null))
    );
}

#[tokio::test]
async fn every_list_is_paged_alike() {
    let plane = Plane::start().await;
    let operator = plane.log_in().await;
    for name in ["primary", "secondary", "tertiary"] {
        operator.user(&format!("{name}@localhost"), json!({})).await;
        operator.subaccount(name).await;
        operator.service(name).await;
        operator.account(name, json!({})).await;
    }
    for (list, field, total) in [
        ("users", "email", 4),
        ("subaccounts", "name", 3),
        ("services", "name", 3),
        ("accounts", "name", 4),
    ] {
        let whole = operator.get(&format!("/v1/{list}")).await;
        let (mut rows, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = operator.get(&format!("/v1/{list}?limit=2{cursor}")).await;
            assert_eq!(page.number("/data/total"), total, "{list}");
            rows.extend(
                page.at(&format!("/data/{list}"))
                    .as_array()
                    .unwrap()
                    .clone(),
            );
            match page.at("/data/next_cursor").as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(whole.at(&format!("/data/{list}")), &json!(rows), "{list}");
        let last = rows.last().unwrap()[field].as_str().unwrap();
        assert!(last.starts_with("tertiary"), "{list}: {last}");
        let found = operator.get(&format!("/v1/{list}?search=SECONDARY")).await;
        assert_eq!(found.number("/data/total"), 1, "{list}");
        operator
            .get(&format!("/v1/{list}?offset=1"))
            .await
            .refused_by(400, "invalid_request", "offset");
        operator
            .get(&format!("/v1/{list}?cursor=x"))
            .await
            .refused_by(400, "invalid_request", "cursor");
    }
}
