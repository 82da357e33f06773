//! A form is only accepted from a page of the same session that sends it.

use latchkey_tests::{Browser, Gateway};
use serde::Deserialize;
use serde_json::{Value, json};

use super::tour::tour;
use super::{Session, browser_of};

/// A form of a page, or a request that htmx sends.
#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// Returns the forms of all these pages, one of each kind.
pub(crate) async fn all_forms(
    browser: &Browser,
    pages: impl Iterator<Item = &String>,
) -> Vec<Form> {
    let mut found: Vec<Form> = Vec::new();
    for page in pages {
        for form in forms(browser, page).await {
            let path = form.path.split(['?', '#']).next().unwrap().to_owned();
            if !found.iter().any(|other| other.path == path) {
                found.push(Form { path, ..form });
            }
        }
    }
    found
}

async fn forms(browser: &Browser, path: &str) -> Vec<Form> {
    let script = r#"
        return fetch(arguments[0]).then((answer) => answer.text()).then((text) => {
            const page = new DOMParser().parseFromString(text, "text/html");
            // As one fills them in who confirms by typing a name.
            for (const field of page.querySelectorAll("[data-text]")) field.setAttribute("value", field.dataset.text);
            const senders = page.querySelectorAll("form[method=post], [hx-post], [hx-put], [hx-delete], [formaction]");
            return [...senders].map((sender) => {
                const form = sender.closest("form");
                const buttons = [...form?.querySelectorAll("button[name]") ?? []].slice(0, 1);
                return {
                    path: ["formaction", "hx-post", "hx-put", "hx-delete", "action"]
                        .map((name) => sender.getAttribute(name)).find((action) => action) ?? arguments[0],
                    fields: [...(form ? new FormData(form) : []), ...buttons.map((button) => [button.name, button.value])],
                };
            });
        })"#;
    serde_json::from_value(browser.run(script, vec![json!(path)]).await.unwrap()).unwrap()
}

/// Returns all data that a form could change.
pub(crate) async fn state(gateway: &Gateway) -> Vec<Value> {
    let mut state = Vec::new();
    for path in [
        "/v1/keys?limit=1000&state=all",
        "/v1/users?limit=1000",
        "/v1/services?limit=1000",
        "/v1/subaccounts?limit=1000",
        "/v1/routes",
        "/v1/tiers",
        "/v1/audit?action=key",
        "/v1/audit?action=user",
        "/v1/audit?action=session.delete",
    ] {
        state.push(gateway.control_plane.get(path).await.unwrap());
    }
    state
}

#[tokio::test]
async fn form_needs_the_sessions_token() {
    let mut gateway = Gateway::start().await;
    let demo = gateway.with_demo_data().await.unwrap();
    let control_plane = &gateway.control_plane;
    let browser = browser_of(control_plane, control_plane.credentials()).await;
    let session = Session::in_browser(&browser).await;
    let other =
        Session::in_browser(&browser_of(control_plane, control_plane.credentials()).await).await;
    assert_ne!(session.csrf, other.csrf);

    let found = all_forms(&browser, tour(&browser, &demo).await.values()).await;
    let paths: Vec<_> = found.iter().map(|form| form.path.as_str()).collect();
    println!("forms: {paths:?}");
    assert!(paths.contains(&"/console/logout"), "{paths:?}");

    let before = state(&gateway).await;
    for Form { path, fields } in &found {
        for wrong in [
            None,
            Some(""),
            Some(other.csrf.as_str()),
            Some(&session.csrf[1..]),
        ] {
            let answer = session.post(control_plane, path, wrong, fields).await;
            assert_eq!(answer.status(), 403, "{path} with the token {wrong:?}");
            assert!(
                answer.text().await.unwrap().contains("nothing has changed"),
                "{path}"
            );
        }
    }
    assert_eq!(state(&gateway).await, before);
    assert_eq!(
        session.get(control_plane, "/console/keys").await.status(),
        200,
        "the session goes on"
    );
    // With the session's token, one of them is accepted.
    let taken = session
        .post(control_plane, "/console/logout", Some(&session.csrf), &[])
        .await;
    assert_eq!(taken.headers()["location"], "/console/login?why=logged_out");
}

#[tokio::test]
async fn cross_site_forms_are_refused() {
    let (gateway, browser) = super::start().await;
    let session = Session::in_browser(&browser).await;
    let (email, password) = gateway.control_plane.credentials();
    let own = format!("csrf={}&email={email}&password={password}", session.csrf);
    for site in ["cross-site", "same-site", "none"] {
        for path in ["/console/logout", "/console/login"] {
            let request = latchkey_tests::http_client()
                .post(gateway.control_plane.url(path))
                .header("cookie", format!("{}={}", super::SESSION, session.cookie))
                .header("content-type", "application/x-www-form-urlencoded")
                .header("sec-fetch-site", site);
            let answer = request.body(own.clone()).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers().get("set-cookie")),
                (403, None),
                "{path} from {site}"
            );
        }
    }
    assert_eq!(
        session
            .get(&gateway.control_plane, "/console/keys")
            .await
            .status(),
        200
    );
}
