//! Tests long lists: `key export`, and lists with `--all`.

use super::{CommandOutput, Person};
use crate::harness::{Client, Plane};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::IntoResponse as _;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// The number of keys, which fill more than two pages.
const KEYS: usize = 2_001;

async fn names(client: &Client<'_>) -> Vec<String> {
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/v1/keys?limit=1000{cursor}")).await;
        names.extend(
            page.at("/data/keys")
                .as_array()
                .unwrap()
                .iter()
                .map(|key| key["name"].as_str().unwrap().to_owned()),
        );
        match page.at("/data/next_cursor").as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return names,
        }
    }
}

fn names_in(keys: &[Value]) -> Vec<&str> {
    keys.iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn paged_exports_are_complete() {
    let plane = Plane::start().await;
    let (person, client) = (Person::admin(&plane), plane.log_in().await);
    let empty = person.run(&["key", "export"]).await.done();
    assert_eq!(
        serde_json::from_str::<Value>(&empty).unwrap(),
        json!({"keys": []})
    );
    plane.create_keys("k", KEYS - 1).await;
    client.service("dns").await;
    let made = client
        .generate(json!({"name": "a, \"b\"", "scope": ["dns"], "description": "=1+1", "allowed_ips": ["10.0.0.0/8"]}))
        .await;
    let expected = names(&client).await;

    let json = person.run(&["key", "export"]).await.done();
    let document: Value = serde_json::from_str(&json).unwrap();
    let keys = document["keys"].as_array().unwrap();
    assert_eq!(names_in(keys), expected);
    assert_eq!(
        (keys.len(), &keys[0]["allowed_ips"][0]["cidr"]),
        (KEYS, &json!("10.0.0.0/8"))
    );
    assert_eq!(document.as_object().unwrap().len(), 1);
    let lines = person
        .run(&["key", "export", "--format", "ndjson"])
        .await
        .done();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(&lines, keys);
    let csv = person
        .run(&["key", "export", "--format", "csv"])
        .await
        .done();
    assert_eq!(csv.lines().count(), KEYS + 1);
    assert!(
        csv.contains("\"a, \"\"b\"\"\",'=1+1,") && csv.contains(",10.0.0.0/8,"),
        "{csv}"
    );
    assert!(![json, csv].concat().contains(&made.text("/data/api_key")));

    let printed = person.json(&["key", "list", "--all"]).await;
    assert_eq!(names_in(printed["keys"].as_array().unwrap()), expected);
    assert_eq!(printed["next_cursor"], Value::Null);
    let table = person.run(&["key", "list", "--all"]).await.done();
    assert_eq!(table.lines().count(), KEYS + 1);
    assert_eq!(table.matches("NAME").count(), 1, "one line of headings");
}

#[tokio::test]
async fn progress_is_shown_only_on_request() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    plane.create_keys("k", KEYS).await;
    for arguments in [&["key", "export"][..], &["key", "list", "--all", "--json"]] {
        let printed = person.run(&[arguments, &["--progress"]].concat()).await;
        assert!(
            printed
                .stderr
                .starts_with("latchkey: 1,000 of 2,001 keys\n"),
            "{}",
            printed.stderr
        );
        assert!(
            printed.stderr.ends_with("latchkey: 2,001 of 2,001 keys\n"),
            "{}",
            printed.stderr
        );
        assert!(serde_json::from_str::<Value>(&printed.stdout).is_ok());
        assert_eq!(
            person.run(arguments).await.stderr,
            "",
            "stderr is no terminal"
        );
    }
}

#[tokio::test]
async fn closed_output_ends_the_export_quietly() {
    let plane = Plane::start().await;
    let person = Person::admin(&plane);
    plane.create_keys("k", KEYS).await;
    for format in ["json", "ndjson", "csv"] {
        let printed = person
            .run_unheard(&["key", "export", "--format", format])
            .await;
        assert_eq!((printed.code, printed.stderr.as_str()), (1, ""), "{format}");
    }
}

/// Starts an API with this number of equal pages of 1,000 keys.
async fn many_pages(pages: usize) -> String {
    let keys: Vec<_> = (0..1_000)
        .map(|number| {
            json!({
                "key_id": format!("key_{number:012}"), "name": format!("client {number}"), "description": "x".repeat(100),
                "key_prefix": "lk_live_Ab3d...x9Qz", "environment": "live", "tier": "basic", "scope": ["dns", "cdn"],
                "roles": ["dns_manager"], "permissions": ["a:b"], "limits": {"minute": 100}, "active": true,
                "secrets": [{"key_prefix": "lk_live_Ab3d...x9Qz", "created_at": "2027-01-15T08:00:00Z"}],
                "allowed_ips": [{"cidr": "10.0.0.0/8", "enabled": true}], "denied_ips": [], "revoked_at": null,
            })
        })
        .collect();
    let body = move |next: Option<usize>| {
        let data = json!({"keys": keys, "total": pages * 1_000, "total_is_estimate": true, "next_cursor": next.map(|next| next.to_string())});
        json!({"status": "success", "message": "", "data": data}).to_string()
    };
    let bodies = Arc::new((body(Some(1)), body(None), AtomicUsize::new(0)));
    let answer = async move |State(bodies): State<Arc<(String, String, AtomicUsize)>>,
                             _: Request| {
        let page = bodies.2.fetch_add(1, Ordering::Relaxed) + 1;
        let body = if page % pages == 0 {
            &bodies.1
        } else {
            &bodies.0
        };
        ([(CONTENT_TYPE, "application/json")], body.clone()).into_response()
    };
    let router = Router::new().fallback(answer).with_state(bodies);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// Runs the command to its end, and returns its maximum resident memory, in kB.
async fn peak(mut command: Command) -> (CommandOutput, u64) {
    let measured = tokio::task::spawn_blocking(move || {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = peak.max(kilobytes.unwrap_or_default());
            thread::sleep(Duration::from_millis(5));
        }
        (child.wait_with_output().unwrap(), peak)
    });
    let (output, peak) = measured.await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (
        CommandOutput {
            code: output.status.code().unwrap(),
            stdout: String::new(),
            stderr,
        },
        peak,
    )
}

/// Measures the memory. 12.6 GB for a million keys was seen once, 1.2 GB for this number.
#[tokio::test]
async fn long_lists_use_constant_memory() {
    let pages = std::env::var("LATCHKEY_TEST_PAGES").map_or(100, |pages| pages.parse().unwrap());
    let person =
        Person::stranger(&many_pages(pages).await).with("LATCHKEY_TOKEN", "lk_live_an-api-key");
    for arguments in [
        &["key", "export"][..],
        &["key", "export", "--format", "csv"],
        &["key", "list", "--all"],
        &["key", "list", "--all", "--json"],
    ] {
        let (printed, peak) = peak(person.command(&[arguments, &["--progress"]].concat())).await;
        assert_eq!(printed.code, 0, "{printed:?}");
        assert!(printed.stderr.contains(" of about "), "{printed:?}");
        println!("{arguments:?}: {peak} kB");
        assert!(peak < 100_000, "{arguments:?} took {peak} kB");
    }
}
