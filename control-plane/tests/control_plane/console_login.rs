//! Tests the console's log-in and forms as sent by programs: their origins, and their number.

use crate::harness::{EMAIL, PASSWORD, Plane};
use reqwest::header::{COOKIE, LOCATION, RETRY_AFTER, SET_COOKIE};
use reqwest::{Method, RequestBuilder, Response, redirect};
use sha2::{Digest as _, Sha256};

const COOKIE_NAME: &str = "latchkey_session";

fn form(plane: &Plane, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
    let client = reqwest::Client::builder()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap();
    let body: Vec<_> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", value.replace(' ', "+")))
        .collect();
    let request = client.request(Method::POST, plane.http_url() + path);
    request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body.join("&"))
}

fn log_in(plane: &Plane, password: &str) -> RequestBuilder {
    form(
        plane,
        "/console/login",
        &[("email", EMAIL), ("password", password)],
    )
}

async fn session(response: Response) -> String {
    assert_eq!(response.status(), 303);
    let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
    let value = cookie
        .split(';')
        .next()
        .unwrap()
        .strip_prefix(COOKIE_NAME)
        .unwrap();
    value.strip_prefix('=').unwrap().to_owned()
}

#[tokio::test]
async fn forms_of_another_origin_are_refused() {
    let plane = Plane::start().await;
    let own = plane.http_url();
    let token = session(
        log_in(&plane, PASSWORD)
            .header("origin", &own)
            .send()
            .await
            .unwrap(),
    )
    .await;
    let csrf = hex::encode(Sha256::digest(format!("latchkey console csrf\0{token}")));
    let forms = || {
        let logout = form(&plane, "/console/logout", &[("csrf", &csrf)]);
        let key = form(
            &plane,
            "/console/keys/new",
            &[("csrf", &csrf), ("name", "x")],
        );
        let with_session =
            |request: RequestBuilder| request.header(COOKIE, format!("{COOKIE_NAME}={token}"));
        [
            log_in(&plane, PASSWORD),
            with_session(logout),
            with_session(key),
        ]
    };
    for origin in [
        "https://evil.test",
        "null",
        "",
        "http://127.0.0.1:1",
        "http://localhost",
    ] {
        for request in forms() {
            let answer = request.header("origin", origin).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.headers().get(SET_COOKIE)),
                (403, None),
                "{origin}"
            );
            assert!(answer.text().await.unwrap().contains("nothing has changed"));
        }
    }
    // Requests through a proxy that ends TLS, and from browsers that send no origin.
    let encrypted = own.replace("http://", "https://");
    session(
        log_in(&plane, PASSWORD)
            .header("origin", encrypted)
            .send()
            .await
            .unwrap(),
    )
    .await;
    session(log_in(&plane, PASSWORD).send().await.unwrap()).await;
    let proxied = log_in(&plane, PASSWORD).header("origin", "https://keys.example.com");
    session(
        proxied
            .header("x-forwarded-host", "keys.example.com")
            .send()
            .await
            .unwrap(),
    )
    .await;
    let [_, logout, _] = forms();
    let answer = logout.header("origin", own).send().await.unwrap();
    assert_eq!(answer.headers()[LOCATION], "/console/login?why=logged_out");
}

#[tokio::test]
async fn console_says_how_long_to_wait() {
    let plane = Plane::start().await;
    for _ in 0..10 {
        assert_eq!(log_in(&plane, "wrong").send().await.unwrap().status(), 401);
    }
    plane.clock.advance(20);
    let answer = log_in(&plane, PASSWORD).send().await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()[RETRY_AFTER].to_str().unwrap()
        ),
        (429, "40")
    );
}

#[tokio::test]
async fn long_login_form_is_not_read() {
    let plane = Plane::start().await;
    let answer = log_in(&plane, &"x".repeat(5_000)).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    session(log_in(&plane, PASSWORD).send().await.unwrap()).await;
}
