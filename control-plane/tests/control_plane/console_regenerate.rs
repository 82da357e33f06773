//! Tests the console's form that regenerates a key, as sent by programs.

use crate::harness::{EMAIL, PASSWORD, Plane, START};
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::{Client, redirect};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A logged-in user of the console.
struct Visitor {
    client: Client,
    url: String,
    token: String,
}

impl Visitor {
    async fn log_in(plane: &Plane) -> Self {
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .build()
            .unwrap();
        let url = plane.http_url();
        let login = client
            .post(format!("{url}/console/login"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let body = format!("email={EMAIL}&password={}", PASSWORD.replace(' ', "+"));
        let answer = login.body(body).send().await.unwrap();
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap();
        let token = cookie
            .split(';')
            .next()
            .unwrap()
            .split_once('=')
            .unwrap()
            .1
            .to_owned();
        Self { client, url, token }
    }

    async fn page(&self, path: &str) -> String {
        let request = self.client.get(format!("{}{path}", self.url));
        request
            .header(COOKIE, self.cookie())
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// Sends a form, and returns the status and the page.
    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
        let csrf = hex::encode(Sha256::digest(format!(
            "latchkey console csrf\0{}",
            self.token
        )));
        let mut body = format!("csrf={csrf}");
        fields.iter().for_each(|(name, value)| {
            body.push_str(&format!("&{name}={}", value.replace(' ', "+")));
        });
        let request = self
            .client
            .post(format!("{}{path}", self.url))
            .header(COOKIE, self.cookie());
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header("origin", &self.url);
        let answer = request.body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn cookie(&self) -> String {
        format!("latchkey_session={}", self.token)
    }
}

#[tokio::test]
async fn expired_key_regenerates_with_chosen_expiry() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    for (fields, expires_at) in [
        (
            &[("expires", "date"), ("expires_at", "2027-03-01")][..],
            json!("2027-03-01T23:59:59Z"),
        ),
        (&[("expires", "never"), ("expires_at", "")], Value::Null),
    ] {
        let name = format!("until {expires_at}").replace('"', "");
        let id = client
            .generate(json!({"name": name, "expires_at": START + 60}))
            .await
            .text("/data/key_id");
        let path = format!("/console/keys/{id}");
        let visitor = Visitor::log_in(&plane).await;
        // The form of a valid key has no field for its expiry. It changes nothing if it is sent
        // after the key has expired.
        let shown = visitor.page(&path).await;
        assert!(
            shown.contains("name=\"overlap_seconds\"") && !shown.contains("name=\"expires_at\"")
        );
        assert!(shown.contains("every older secret ends at once"), "{shown}");
        plane.clock.advance(60);
        let revision = plane.store().revision();
        for late in [
            &[("overlap_seconds", "0"), ("confirm", name.as_str())],
            &[("overlap_seconds", "3600"), ("confirm", "")],
        ] {
            let (status, page) = visitor.send(&format!("{path}/regenerate"), late).await;
            assert!(
                status == 400 && page.contains("The key has expired. Choose a new expiry."),
                "{status} {page}"
            );
            assert!(
                page.contains("name=\"expires_at\"") && !page.contains("name=\"overlap_seconds\""),
                "{page}"
            );
        }
        let (status, page) = visitor
            .send(
                &format!("{path}/regenerate"),
                &[("expires", "date"), ("expires_at", "")],
            )
            .await;
        assert!(
            status == 400 && page.contains("aria-invalid"),
            "{status} {page}"
        );
        assert_eq!(plane.store().revision(), revision);

        let (status, page) = visitor.send(&format!("{path}/regenerate"), fields).await;
        assert!(
            status == 200 && page.contains("lk_live_"),
            "{status} {page}"
        );
        let key = client.get(&format!("/v1/keys/{id}")).await;
        assert_eq!(
            (key.at("/data/expires_at"), key.at("/data/active")),
            (&expires_at, &json!(true))
        );
        plane.clock.advance(-60);
    }
}

#[tokio::test]
async fn form_describes_a_running_overlap() {
    let plane = Plane::start().await;
    let client = plane.log_in().await;
    let id = client.key("CI").await;
    client.regenerate(&id, 3_600).await;
    let visitor = Visitor::log_in(&plane).await;
    let path = format!("/console/keys/{id}");
    let shown = visitor.page(&path).await;
    for text in [
        "regenerating without an overlap ends both at once",
        "within the last 10 minutes and it is unused",
    ] {
        assert!(shown.contains(text), "{shown}");
    }
    // As the page describes, the newest secret is replaced, and then both end.
    let (status, _) = visitor
        .send(
            &format!("{path}/regenerate"),
            &[("overlap_seconds", "3600"), ("confirm", "")],
        )
        .await;
    let key = client.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(
        (status, key.text("/data/secrets/1/ends_at").as_str()),
        (200, "2027-01-15T09:00:00Z")
    );
    let end = |confirm| [("overlap_seconds", "0"), ("confirm", confirm)];
    let (status, page) = visitor
        .send(&format!("{path}/regenerate"), &end("CD"))
        .await;
    assert!(
        status == 400 && page.contains("to end every older secret at once"),
        "{status} {page}"
    );
    let (status, _) = visitor
        .send(&format!("{path}/regenerate"), &end("CI"))
        .await;
    let key = client.get(&format!("/v1/keys/{id}")).await;
    assert_eq!(
        (status, key.at("/data/secrets").as_array().unwrap().len()),
        (200, 1)
    );
}
