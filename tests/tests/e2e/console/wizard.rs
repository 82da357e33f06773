//! The four steps to a new key that works, and the only page that shows the key.

use std::collections::BTreeSet;

use latchkey_policy::key::{Environment, KeyFormat};
use latchkey_tests::{Browser, day_in, keys};
use reqwest::Method;
use serde_json::json;

use super::start;

/// Texts that the steps after the first one show.
pub(crate) const LATER_STEPS: [&str; 3] = ["All services", "dns_manager", "Requests a minute"];

/// Goes on from the first step to the last one.
pub(crate) async fn goes_on_to_the_last_step(browser: &Browser) {
    for step in LATER_STEPS {
        browser.press("Next").await;
        browser.sees(step).await;
    }
}

async fn secret(browser: &Browser) -> String {
    let shown = browser.texts("#secret").await;
    assert_eq!(shown.len(), 1);
    shown[0].clone()
}

/// Creates a key with only a name, and returns the key as the page shows it.
async fn makes_a_key(browser: &Browser) -> String {
    browser.open("/console/keys/new").await;
    browser.fill("Name", "CI").await;
    goes_on_to_the_last_step(browser).await;
    browser.press("Create the key").await;
    browser.sees("I have stored the key").await;
    secret(browser).await
}

/// Returns the source of the page, including hidden elements.
async fn source(browser: &Browser) -> String {
    let source = browser
        .run("return document.documentElement.outerHTML", vec![])
        .await
        .unwrap();
    source.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn wizard_creates_a_working_key_shown_once() {
    let (gateway, browser) = start().await;
    gateway
        .control_plane
        .call(Method::POST, "/v1/services", json!({ "name": "dns" }))
        .await
        .unwrap();
    gateway
        .control_plane
        .create_subaccount("Shop")
        .await
        .unwrap();
    let rules = json!([
        { "path": { "prefix": "/zones" }, "service": "dns", "permission": "dns:read" },
        { "path": { "prefix": "/bills" }, "service": "billing" }
    ]);
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();

    browser.press("Create the first key").await;
    browser.arrives_at("/console/keys/new").await;
    browser.fill("Name", "CI of Zürich").await;
    browser.fill("Description", "Deploys the shop").await;
    let day = day_in(40);
    browser.fill("Date", &day).await;
    browser.press("Next").await;

    browser.sees("All services").await;
    browser.tick("dns").await;
    browser.tick("Shop").await;
    browser.press("Next").await;

    browser.sees("dns_manager").await;
    browser.tick("dns_manager").await;
    // The entered values are still there on the way back.
    browser.press("Back").await;
    browser.sees("All services").await;
    browser.press("Back").await;
    browser.sees("Description").await;
    assert_eq!(browser.value("Name").await, "CI of Zürich");
    assert_eq!(browser.value("Date").await, day);
    goes_on_to_the_last_step(&browser).await;

    browser.press_in("Allow", "Add an address").await;
    browser.fill("Address or range", "127.0.0.300").await;
    browser.sees("“127.0.0.300”").await;
    browser.fill("Address or range", "127.0.0.0/8").await;
    browser.no_longer_sees("“127.0.0.300”").await;
    browser.fill("Requests a minute", "600").await;
    browser.press("Create the key").await;

    browser.sees("I have stored the key").await;
    let key = secret(&browser).await;
    assert_eq!(
        KeyFormat::default().check(key.as_bytes()),
        Ok(Environment::Live)
    );
    let answer = gateway.ask("/zones/example.com", Some(&key)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.headers["x-ratelimit-limit"], "600");
    assert_eq!(
        gateway.ask("/bills", Some(&key)).await.code(),
        "out_of_scope"
    );

    browser.withholds("Done").await;
    browser.tick("I have stored the key").await;
    browser.press("Done").await;
    browser.sees("Deploys the shop").await;
    let page = browser.path().await;
    let key_id = page
        .rsplit('/')
        .next()
        .unwrap()
        .trim_end_matches('?')
        .to_owned();
    for step in [
        "as it is",
        "after going back",
        "loaded again",
        "in the wizard",
    ] {
        match step {
            "after going back" | "in the wizard" => browser.goes_back().await,
            "loaded again" => browser.reload().await,
            _ => {}
        }
        assert!(
            !source(&browser).await.contains(&key),
            "the key is on the page {step}"
        );
    }
    let listed = gateway.control_plane.key(&key_id).await.unwrap();
    assert_eq!(listed["expires_at"], format!("{day}T23:59:59Z"));
    assert_eq!(
        (&listed["scope"], &listed["roles"]),
        (&json!(["dns"]), &json!(["dns_manager"]))
    );
    assert_eq!(
        listed["allowed_ips"],
        json!([{ "cidr": "127.0.0.0/8", "enabled": true }])
    );
}

#[tokio::test]
async fn reloading_instead_of_storing_loses_the_key() {
    let (_gateway, browser) = start().await;
    let key = makes_a_key(&browser).await;
    assert!(source(&browser).await.contains(&key));
    browser.reload().await;
    browser.sees("Revoke this key").await;
    assert!(!source(&browser).await.contains(&key));
    browser.sees(&key[..12]).await;
}

#[tokio::test]
async fn key_is_saved_as_a_file() {
    let (_gateway, browser) = start().await;
    let key = makes_a_key(&browser).await;
    browser.press("Save as .PAK").await;
    assert_eq!(browser.downloaded("CI.PAK").await, format!("{key}\n"));
    assert!(browser.complaints().await.unwrap().is_empty());
}

/// Returns the values of the matching boxes for permissions.
async fn permissions(browser: &Browser, which: &str) -> BTreeSet<String> {
    let script = "return [...document.querySelectorAll(arguments[0])].map((box) => box.value)";
    let found = browser
        .run(
            script,
            vec![json!(format!("input[name=permissions]{which}"))],
        )
        .await
        .unwrap();
    serde_json::from_value(found).unwrap()
}

#[tokio::test]
async fn read_permissions_are_ticked_at_once() {
    let (gateway, browser) = start().await;
    let rule = |verb| json!({ "path": { "prefix": format!("/{verb}") }, "permission": format!("dns:zones:{verb}") });
    let rules: Vec<_> = ["read", "write", "delete"].into_iter().map(rule).collect();
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    browser.open("/console/keys/new").await;
    browser.fill("Name", "CI").await;
    for step in &LATER_STEPS[..2] {
        browser.press("Next").await;
        browser.sees(step).await;
    }
    let all = permissions(&browser, "").await;
    let of = |verb: &str| {
        all.iter()
            .filter(|name| name.ends_with(verb))
            .cloned()
            .collect::<BTreeSet<_>>()
    };
    let (reading, deleting) = (of(":read"), of(":delete"));
    assert!(
        reading.contains("dns:zones:read") && deleting.contains("dns:zones:delete"),
        "{all:?}"
    );
    let ticked = async || permissions(&browser, ":checked").await;

    browser.tick("dns:zones:read").await;
    browser.press("Read all").await;
    assert_eq!(ticked().await, reading);
    browser.press("Read all").await;
    assert_eq!(ticked().await, BTreeSet::new());
    browser.press("Delete all").await;
    let mut now = ticked().await;
    assert!(
        now.is_superset(&deleting) && now.is_disjoint(&reading) && !now.contains("dns:zones:write"),
        "{now:?}"
    );
    browser.press("Write all").await;
    now = ticked().await;
    assert!(
        now.contains("dns:zones:write") && now.is_superset(&deleting) && now.is_disjoint(&reading),
        "{now:?}"
    );
    browser.press("Read all").await;
    assert_eq!(ticked().await, all, "the three buttons leave nothing out");
    browser.press("Delete all").await;
    now = ticked().await;
    assert!(
        now.is_superset(&reading) && now.is_disjoint(&deleting) && now.contains("dns:zones:write"),
        "{now:?}"
    );

    browser.press("Next").await;
    browser.sees(LATER_STEPS[2]).await;
    browser.press("Create the key").await;
    browser.sees("I have stored the key").await;
    browser.tick("I have stored the key").await;
    browser.press("Done").await;
    browser.sees("Revoke this key").await;
    let keys = gateway.control_plane.get("/v1/keys").await.unwrap();
    let held: BTreeSet<String> =
        serde_json::from_value(keys["keys"][0]["permissions"].clone()).unwrap();
    assert_eq!(held, now);
}

#[tokio::test]
async fn enter_behind_an_address_adds_a_row() {
    let (gateway, browser) = start().await;
    let fill_in_two = async |list: &str| {
        browser.press_in(list, "Add an address").await;
        browser.types("192.0.2.1").await;
        browser.types(keys::ENTER).await;
        browser.shows_fields("Address or range", 2).await;
        assert!(browser.has_focus("Address or range").await);
        browser.types("192.0.2.2").await;
    };
    let addresses = json!([{ "cidr": "192.0.2.1/32", "enabled": true }, { "cidr": "192.0.2.2/32", "enabled": true }]);
    browser.open("/console/keys/new").await;
    browser.fill("Name", "CI").await;
    goes_on_to_the_last_step(&browser).await;
    fill_in_two("Allow").await;
    browser.press("Create the key").await;
    browser.sees("I have stored the key").await;
    browser.reload().await;
    let id = browser.path().await.rsplit('/').next().unwrap().to_owned();
    assert_eq!(
        gateway.control_plane.key(&id).await.unwrap()["allowed_ips"],
        addresses
    );

    let other = gateway
        .control_plane
        .create_key(json!({ "name": "CD" }))
        .await
        .unwrap();
    browser
        .open(&format!("/console/keys/{}/ip-lists", other.key_id))
        .await;
    fill_in_two("Deny list").await;
    browser.press("Save the lists").await;
    browser.sees("In force on 1 of 1 node").await;
    assert_eq!(
        gateway.control_plane.key(&other.key_id).await.unwrap()["denied_ips"],
        addresses
    );
}

/// The typed values stay.
#[tokio::test]
async fn errors_stand_beside_their_fields() {
    let (gateway, browser) = start().await;
    gateway
        .control_plane
        .create_key(json!({ "name": "taken" }))
        .await
        .unwrap();
    browser.open("/console/keys/new").await;
    browser.fill("Name", "taken").await;
    browser.fill("Description", "Another one").await;
    goes_on_to_the_last_step(&browser).await;
    browser.press("Create the key").await;
    // The step with the error comes back.
    browser.sees("Description").await;
    let script = r#"
        const field = document.querySelector("[aria-invalid=true]");
        const said = field?.getAttribute("aria-describedby");
        return [field?.name, said && document.getElementById(said).innerText.trim() !== ""]"#;
    assert_eq!(
        browser.run(script, vec![]).await.unwrap(),
        json!(["name", true])
    );
    assert_eq!(browser.value("Name").await, "taken");
    assert_eq!(browser.value("Description").await, "Another one");
    browser.fill("Name", "free").await;
    goes_on_to_the_last_step(&browser).await;
    browser.press("Create the key").await;
    browser.sees("I have stored the key").await;
}
