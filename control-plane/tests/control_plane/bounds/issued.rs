//! Tests the bounds of keys that issue others: a key that they create admits no more than a key
//! with everything that they may issue.

use super::comparison::{beyond, place};
use super::draw::{EDITABLE, FIELDS, Random, SOURCES, rules, tables, universe};
use super::evaluator::Evaluator;
use crate::harness::{Answer, Client, Plane, START, imported};
use crate::node::Node;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

type Fields = Map<String, Value>;

/// Draws `issues`, and returns it with a key that has the maximum that a key with `own` can then
/// issue.
fn issues(random: &mut Random, own: &Fields, subaccounts: &[String; 2]) -> (Value, Fields) {
    let (mut issues, mut most) = (json!({}), own.clone());
    if random.one_in(2) {
        issues["tier"] = random.value("tier", subaccounts);
        most["tier"] = issues["tier"].clone();
    }
    if random.one_in(2) {
        issues["limits"] = random.value("limits", subaccounts);
        most["limits"]
            .as_object_mut()
            .unwrap()
            .extend(issues["limits"].as_object().unwrap().clone());
    }
    if random.one_in(2) {
        let list = random.value("allowed_ips", subaccounts);
        let enabled = list
            .as_array()
            .unwrap()
            .iter()
            .any(|entry| entry["enabled"] == true);
        issues["addresses"] = if enabled { list.clone() } else { json!("all") };
        most["allowed_ips"] = if enabled { list } else { json!([]) };
        most["denied_ips"] = json!([]);
    }
    if issues == json!({}) || random.one_in(2) {
        let days = *random.pick(&[1, 30]);
        issues["expiry_days"] = json!(days);
        most["expires_at"] = json!(START + i64::from(days) * 86_400);
    }
    if random.one_in(2) {
        issues["environments"] = random
            .pick(&[json!(["test"]), json!(["live"]), json!(["live", "test"])])
            .clone();
    }
    (issues, most)
}

fn named(mut key: Fields, name: &str) -> Value {
    key.insert("name".to_owned(), json!(name));
    key.into()
}

async fn made(by: &Client<'_>, key: Value) -> String {
    let answer = by.generate(key.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{key}: {answer:?}");
    answer.text("/data/api_key")
}

/// Creates a key with a key.
async fn make(
    plane: &Plane,
    key: &str,
    name: &str,
    mut body: Value,
    imports: bool,
) -> Option<Answer> {
    let mut path = "/v1/keys/generate";
    if imports {
        body["sha256"] = imported(name, name)["sha256"].clone();
        (body, path) = (json!({"keys": [body]}), "/v1/keys/import");
    }
    call(plane, key, Method::POST, path, &body).await
}

/// Makes a call with a key, from an address that it admits; `None` if it admits none.
async fn call(
    plane: &Plane,
    key: &str,
    method: Method,
    path: &str,
    body: &Value,
) -> Option<Answer> {
    for source in SOURCES {
        let mut request = plane
            .request(method.clone(), path)
            .bearer_auth(key)
            .json(body);
        if let Some(source) = source {
            request = request.header("x-forwarded-for", source);
        }
        let answer = Answer::to(request).await;
        if answer.body["code"] != "ip_denied" {
            return Some(answer);
        }
    }
    None
}

#[tokio::test]
async fn issued_keys_stay_within_issuable() {
    let plane = Plane::start_with(&["--trusted-hops=1", "--calls-per-minute=100000"]).await;
    let admin = plane.log_in().await;
    for service in ["dns", "cdn"] {
        admin.service(service).await;
    }
    let subaccounts = [
        admin.subaccount("dev").await,
        admin.subaccount("prod").await,
    ];
    assert_eq!(
        admin.put("/v1/routes", rules()).await.status,
        StatusCode::OK
    );
    let (mut random, mut done, mut refused) = (Random(7), Vec::new(), 0);
    for n in 0..200 {
        let own = random.key(&subaccounts);
        let (issues, most) = issues(&mut random, &own, &subaccounts);
        let environments = issues
            .get("environments")
            .cloned()
            .unwrap_or(json!([own["environment"]]));
        let mut issuer = named(own, &format!("issuer-{n}"));
        issuer["issues"] = issues.clone();
        let secret = made(&admin, issuer).await;
        made(&admin, named(most.clone(), &format!("most-{n}"))).await;
        let mut body = random.changed(&most, &FIELDS, &subaccounts);
        body.retain(|_, _| !random.one_in(4));
        let (name, imports) = (format!("made-{n}"), random.one_in(3));
        let body = named(body, &name);
        let Some(answer) = make(&plane, &secret, &name, body.clone(), imports).await else {
            continue;
        };
        if answer.status == StatusCode::CREATED {
            let what = format!("{body} with {issues}");
            done.push((name.clone(), n, environments.clone(), what.clone()));
            let id = answer.text(if imports {
                "/data/keys/0/key_id"
            } else {
                "/data/key_id"
            });
            // The issuer edits the key, which then creates another one.
            let field = *random.pick(&EDITABLE);
            let edit = json!({field: random.edited(field, &subaccounts)});
            call(
                &plane,
                &secret,
                Method::PATCH,
                &format!("/v1/keys/{id}"),
                &edit,
            )
            .await;
            if !imports {
                let (name, by) = (format!("made-by-made-{n}"), answer.text("/data/api_key"));
                let mut body = random.changed(&most, &FIELDS, &subaccounts);
                body.retain(|_, _| random.one_in(2));
                let answer = make(&plane, &by, &name, named(body, &name), false).await;
                if answer.is_some_and(|answer| answer.status == StatusCode::CREATED) {
                    done.push((
                        name,
                        n,
                        environments,
                        format!("by a key that was made: {what}"),
                    ));
                }
            }
        } else {
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
            refused += 1;
        }
    }
    assert!(
        done.len() > 20 && refused > 20,
        "{} and {refused}",
        done.len()
    );
    let universe = universe(&subaccounts);
    for tiers in [None].into_iter().chain(tables().map(Some)) {
        if let Some(tiers) = tiers {
            assert_eq!(admin.put("/v1/tiers", tiers).await.status, StatusCode::OK);
        }
        let evaluator = Evaluator::new(&Node::ready(&plane).await.snapshot);
        for (made, n, environments, what) in &done {
            // The issuer can give its own attributes to a key by an edit.
            let [most, issuer] = [format!("most-{n}"), format!("issuer-{n}")];
            let exceeding = beyond(&evaluator, &universe, made, &[most.clone(), issuer]);
            assert!(exceeding.is_none(), "{what}: {exceeding:?}");
            let [made, most] = [evaluator.policy(made), evaluator.policy(&most)];
            assert!(
                place(&made.tier) <= place(&most.tier) && made.user == most.user,
                "{what}"
            );
            assert!(
                environments
                    .as_array()
                    .unwrap()
                    .contains(&json!(made.environment.as_str())),
                "{what}"
            );
        }
    }
}
