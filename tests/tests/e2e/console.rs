//! The console, in a real browser.

mod accessible;
mod away;
mod forms;
mod keys;
mod list;
mod login;
mod lost_updates;
mod policy;
mod reader;
mod rules;
mod sections;
mod text;
mod tour;
mod without;
mod wizard;

use latchkey_tests::{Browser, ControlPlane, Gateway, http_client};
use reqwest::header::{CONTENT_TYPE, COOKIE};

/// The name of the session cookie.
const SESSION: &str = "latchkey_session";

/// Starts a gateway, and a browser whose administrator is at the list of keys.
async fn start() -> (Gateway, Browser) {
    let gateway = Gateway::start().await;
    let browser = browser_of(&gateway.control_plane, gateway.control_plane.credentials()).await;
    (gateway, browser)
}

/// Starts a browser, logs in, and goes to the list of keys.
async fn browser_of(control_plane: &ControlPlane, credentials: (&str, &str)) -> Browser {
    let browser = Browser::start(control_plane.url("")).await;
    log_in(&browser, credentials).await;
    browser.arrives_at("/console/keys").await;
    browser
}

async fn log_in(browser: &Browser, (email, password): (&str, &str)) {
    browser.open("/console/login").await;
    browser.fill("Email address", email).await;
    browser.fill("Password", password).await;
    browser.sends("Log in").await;
}

/// Returns the path of the login page, with the reason for it and the next page.
fn login_page(parameters: &[(&str, &str)]) -> String {
    format!(
        "/console/login?{}",
        serde_urlencoded::to_string(parameters).unwrap()
    )
}

/// A session, for requests that no page of the console sends.
struct Session {
    cookie: String,
    csrf: String,
}

impl Session {
    /// Returns the session that is open in a browser.
    async fn in_browser(browser: &Browser) -> Self {
        let cookie = browser.cookie(SESSION).await.unwrap();
        let script = r#"return document.querySelector("input[name=csrf]").value"#;
        let csrf = browser
            .run(script, vec![])
            .await
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned();
        Self { cookie, csrf }
    }

    /// Sends a GET.
    async fn get(&self, control_plane: &ControlPlane, path: &str) -> reqwest::Response {
        let request = http_client()
            .get(control_plane.url(path))
            .header(COOKIE, format!("{SESSION}={}", self.cookie));
        request.send().await.unwrap()
    }

    /// Sends a form with this session's token, with another session's, or without one.
    async fn post(
        &self,
        control_plane: &ControlPlane,
        path: &str,
        csrf: Option<&str>,
        fields: &[(String, String)],
    ) -> reqwest::Response {
        let mut fields = fields.to_vec();
        fields.retain(|(name, _)| name != "csrf");
        fields.extend(csrf.map(|csrf| ("csrf".to_owned(), csrf.to_owned())));
        let request = http_client()
            .post(control_plane.url(path))
            .header(COOKIE, format!("{SESSION}={}", self.cookie))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(serde_urlencoded::to_string(fields).unwrap());
        request.send().await.unwrap()
    }
}
