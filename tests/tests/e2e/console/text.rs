//! Text that people write is always shown as text, also if it looks like markup.

use latchkey_tests::Browser;
use reqwest::Method;
use serde_json::json;

use super::start;

const NAME: &str = "<script>window.owned=1</script>";
const DESCRIPTION: &str =
    r#""><img src=x onerror="window.owned=1">'</textarea><script>window.owned=1</script>"#;

async fn nothing_ran(browser: &Browser) {
    let path = browser.path().await;
    assert_eq!(
        browser
            .run("return window.owned === undefined", vec![])
            .await
            .unwrap(),
        true,
        "{path}"
    );
    let script = r#"return document.querySelectorAll("script:not([src]), img[onerror]").length"#;
    assert_eq!(browser.run(script, vec![]).await.unwrap(), 0, "{path}");
}

#[tokio::test]
async fn script_in_name_is_escaped() {
    let (gateway, browser) = start().await;
    let control_plane = &gateway.control_plane;
    let subaccount = control_plane.create_subaccount(NAME).await.unwrap();
    let service = json!({ "name": "dns", "description": DESCRIPTION });
    control_plane
        .call(Method::POST, "/v1/services", service)
        .await
        .unwrap();
    let key =
        json!({ "name": NAME, "description": DESCRIPTION, "allowed_subaccounts": [subaccount] });
    let key = control_plane.create_key(key).await.unwrap();
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    let edit = json!({ "description": format!("{DESCRIPTION}!") });
    control_plane
        .call(Method::PATCH, &format!("/v1/keys/{}", key.key_id), edit)
        .await
        .unwrap();
    crate::usage::used_today(&gateway, &key.key_id, 1).await;

    let of_key = format!("/console/keys/{}", key.key_id);
    let description = format!("{DESCRIPTION}!");
    for (page, texts) in [
        ("/console/keys".to_owned(), vec![NAME, &description]),
        (
            "/console/keys?search=script".to_owned(),
            vec![NAME, &description],
        ),
        (of_key.clone(), vec![NAME, &description]),
        (format!("{of_key}/ip-lists"), vec![NAME]),
        ("/console/audit".to_owned(), vec![NAME, &description]),
        ("/console/usage".to_owned(), vec![NAME]),
    ] {
        browser.open(&page).await;
        browser.unfold().await;
        for text in texts {
            browser.sees(text).await;
        }
        nothing_ran(&browser).await;
    }
    browser.open(&format!("{of_key}/edit")).await;
    assert_eq!(browser.value("Name").await, NAME);
    assert_eq!(browser.value("Description").await, description);
    nothing_ran(&browser).await;

    // The wizard and its last page show it, and a script replaces parts of the page.
    browser.open("/console/keys/new").await;
    browser.fill("Name", &format!("{NAME} 2")).await;
    browser.fill("Description", DESCRIPTION).await;
    browser.press("Next").await;
    browser.sees(NAME).await;
    nothing_ran(&browser).await;
    for step in ["dns_manager", "Requests a minute"] {
        browser.press("Next").await;
        browser.sees(step).await;
    }
    browser.press_in("Allow", "Add an address").await;
    browser.fill("Address or range", "<img src=x>").await;
    browser.sees("“<img src=x>”").await;
    nothing_ran(&browser).await;
    browser.fill("Address or range", "127.0.0.1").await;
    browser.press("Create the key").await;
    browser.sees(&format!("{NAME} 2")).await;
    nothing_ran(&browser).await;
    browser.open(&of_key).await;
    browser.press("Regenerate the secret").await;
    browser.sees("I have stored the key").await;
    browser.sees(NAME).await;
    nothing_ran(&browser).await;
    assert!(browser.complaints().await.unwrap().is_empty());
}
