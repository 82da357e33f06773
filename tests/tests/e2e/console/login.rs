//! Logging in and out.

use std::collections::BTreeSet;

use latchkey_tests::{Browser, ControlPlane, Gateway, http_client};
use reqwest::header::{LOCATION, ORIGIN, SET_COOKIE};

use super::{SESSION, Session, log_in, login_page, start};

/// Sends a login that no page of the console sends.
async fn send_login(control_plane: &ControlPlane, origin: &str, next: &str) -> reqwest::Response {
    let (email, password) = control_plane.credentials();
    let request = http_client()
        .post(control_plane.url("/console/login"))
        .header(ORIGIN, origin);
    let form =
        serde_urlencoded::to_string([("email", email), ("password", password), ("next", next)])
            .unwrap();
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .unwrap()
}

/// The page shows the name of the user.
#[tokio::test]
async fn right_password_logs_in_by_name() {
    let gateway = Gateway::start().await;
    let (email, password) = gateway.control_plane.credentials();
    let browser = Browser::start(gateway.control_plane.url("")).await;
    browser.open("/console").await;
    browser.arrives_at("/console/login").await;
    browser.fill("Email address", email).await;
    browser.fill("Password", password).await;
    browser.press("Log in").await;
    browser.arrives_at("/console/keys").await;
    browser.sees(email).await;
    browser.sees("There are no API keys yet.").await;
    let seen = browser.run("return document.cookie", vec![]).await.unwrap();
    assert_eq!(seen, "", "no script sees the session's cookie");
}

/// A wrong password at first makes no difference.
#[tokio::test]
async fn login_leads_to_the_requested_page() {
    let gateway = Gateway::start().await;
    let (email, password) = gateway.control_plane.credentials();
    let browser = Browser::start(gateway.control_plane.url("")).await;
    let page = "/console/keys?search=a+b%26c&state=all";
    browser.open(page).await;
    browser.arrives_at(&login_page(&[("next", page)])).await;
    browser.fill("Email address", email).await;
    browser.fill("Password", "not the password").await;
    browser.sends("Log in").await;
    browser.arrives_at("/console/login").await;
    assert_eq!(browser.status().await, 401);
    let said = browser.texts("[role=alert]").await;
    assert!(said.len() == 1 && said[0].contains("password"), "{said:?}");
    assert_eq!(
        (
            browser.value("Email address").await.as_str(),
            browser.value("Password").await.as_str()
        ),
        (email, "")
    );
    assert_eq!(browser.cookie(SESSION).await, None);
    browser.fill("Password", password).await;
    browser.press("Log in").await;
    browser.arrives_at(page).await;
    assert_eq!(browser.value("Search").await, "a b&c");
}

#[tokio::test]
async fn a_wrong_password_opens_nothing() {
    let gateway = Gateway::start().await;
    let (email, _) = gateway.control_plane.credentials();
    let browser = Browser::start(gateway.control_plane.url("")).await;
    log_in(&browser, (email, "not the password")).await;
    browser.arrives_at("/console/login").await;
    browser.open("/console/keys").await;
    browser
        .arrives_at(&login_page(&[("next", "/console/keys")]))
        .await;
}

#[tokio::test]
async fn login_redirects_only_within_the_console() {
    let gateway = Gateway::start().await;
    let control_plane = &gateway.control_plane;
    let own = control_plane.url("");
    let mut led = Vec::new();
    for next in [
        "",
        "https://evil.example/console/keys",
        "//evil.example/console/keys",
        "/\\evil.example",
        "/console/\\..\\..\\evil",
        "/\t/evil.example",
        "javascript:alert(1)",
        "console.evil.example",
        "/v1/keys",
        "/console/../v1/keys",
        "/console/%2e%2e/v1/keys",
        "/console/login?next=//evil.example",
        "/console/keys\r\nset-cookie: a=b",
    ] {
        let answer = send_login(control_plane, &own, next).await;
        assert_eq!(answer.status(), 303, "{next:?}");
        led.push((
            next,
            answer.headers()[LOCATION].to_str().unwrap().to_owned(),
        ));
    }
    led.retain(|(_, to)| to != "/console");
    assert!(led.is_empty(), "these lead there: {led:?}");
    let browser = Browser::start(own).await;
    browser
        .open(&login_page(&[("next", "https://evil.example/")]))
        .await;
    let (email, password) = control_plane.credentials();
    browser.fill("Email address", email).await;
    browser.fill("Password", password).await;
    browser.press("Log in").await;
    browser.arrives_at("/console/keys").await;
}

/// The cookie is for the console only, and over HTTPS it is `Secure`.
#[tokio::test]
async fn session_cookie_is_scoped_and_secure() {
    let gateway = Gateway::start().await;
    let control_plane = &gateway.control_plane;
    let plain = control_plane.url("");
    let encrypted = plain.replace("http://", "https://");
    for (origin, secure) in [(&plain, false), (&encrypted, true)] {
        let answer = send_login(control_plane, origin, "").await;
        assert_eq!(answer.status(), 303, "from {origin}");
        let cookies: Vec<_> = answer
            .headers()
            .get_all(SET_COOKIE)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        let of_session = format!("{SESSION}=");
        let cookie = cookies
            .iter()
            .find(|cookie| cookie.starts_with(&of_session))
            .unwrap_or_else(|| panic!("{cookies:?}"));
        let attributes: BTreeSet<_> = cookie.split("; ").skip(1).collect();
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/console"] {
            assert!(
                attributes.contains(attribute),
                "from {origin}: {attribute} is not among {attributes:?}"
            );
        }
        assert_eq!(
            attributes.contains("Secure"),
            secure,
            "from {origin}: {attributes:?}"
        );
        assert!(
            !attributes
                .iter()
                .any(|attribute| attribute.starts_with("Domain")),
            "{attributes:?}"
        );
    }
}

#[tokio::test]
async fn logout_ends_the_session_of_kept_cookies() {
    let (gateway, browser) = start().await;
    let kept = Session::in_browser(&browser).await;
    assert_eq!(
        kept.get(&gateway.control_plane, "/console/keys")
            .await
            .status(),
        200
    );

    browser.press("Log out").await;
    browser
        .arrives_at(&login_page(&[("why", "logged_out")]))
        .await;
    browser.sees("You have logged out.").await;
    assert_eq!(browser.cookie(SESSION).await, None);
    browser.open("/console/keys").await;
    browser
        .arrives_at(&login_page(&[("next", "/console/keys")]))
        .await;

    let answer = kept.get(&gateway.control_plane, "/console/keys").await;
    let to = login_page(&[("why", "ended"), ("next", "/console/keys")]);
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()[LOCATION].to_str().unwrap()
        ),
        (303, to.as_str())
    );
    let csrf = Some(kept.csrf.as_str());
    let answer = kept
        .post(&gateway.control_plane, "/console/logout", csrf, &[])
        .await;
    assert_eq!(
        answer.headers()[LOCATION].to_str().unwrap(),
        login_page(&[("why", "ended")])
    );
}
