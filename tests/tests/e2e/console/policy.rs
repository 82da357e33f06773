//! No page contains a script, a style or a handler, and its policy would block any.

use latchkey_tests::{Browser, Gateway};
use serde_json::{Value, json};

use super::tour::tour;
use super::{Session, browser_of};

/// Returns the parts of a page, as it was sent, that its policy forbids.
async fn inline(browser: &Browser, path: &str) -> Vec<String> {
    let script = r#"
        return fetch(arguments[0]).then((answer) => answer.text()).then((text) => {
            const page = new DOMParser().parseFromString(text, "text/html");
            const handlers = (element) => [...element.attributes].some((attribute) =>
                /^(on|hx-on|style$)/i.test(attribute.name) || /^\s*javascript:/i.test(attribute.value));
            const inline = [...page.querySelectorAll("*")].filter((element) =>
                element.matches("script:not([src]), style, iframe, object, embed, base") || handlers(element));
            const foreign = [...page.querySelectorAll("[src], link[href], form[action]")].filter((element) => {
                const address = element.getAttribute("src") ?? element.getAttribute("href") ?? element.getAttribute("action");
                return new URL(address, location).origin !== location.origin;
            });
            return [...inline, ...foreign].map((element) => element.outerHTML.slice(0, 200));
        })"#;
    serde_json::from_value(browser.run(script, vec![json!(path)]).await.unwrap()).unwrap()
}

#[tokio::test]
async fn every_page_forbids_inline_scripts() {
    let mut gateway = Gateway::start().await;
    let demo = gateway.with_demo_data().await.unwrap();
    let browser = browser_of(&gateway.control_plane, gateway.control_plane.credentials()).await;
    let session = Session::in_browser(&browser).await;
    let mut pages: Vec<String> = tour(&browser, &demo).await.into_values().collect();
    let others = [
        "/console/login",
        "/console/login?why=nonsense",
        "/console/nothing-is-here",
        "/console/keys?state=nonsense",
        "/console/keys?search=a&search=b",
    ];
    pages.extend(others.map(str::to_owned));
    for path in &pages {
        let answer = session.get(&gateway.control_plane, path).await;
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let policy = header("content-security-policy");
        let rule = |name: &str| {
            let mut rules = policy
                .split(';')
                .map(str::trim)
                .filter_map(|rule| rule.split_once(' '));
            rules
                .find(|(rule, _)| *rule == name)
                .map(|(_, value)| value)
        };
        for name in ["default-src", "frame-ancestors", "base-uri"] {
            assert_eq!(rule(name), Some("'none'"), "{path}: {name} of {policy:?}");
        }
        for name in [
            "script-src",
            "style-src",
            "img-src",
            "connect-src",
            "form-action",
        ] {
            assert_eq!(rule(name), Some("'self'"), "{path}: {name} of {policy:?}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(
            (header("x-content-type-options"), header("cache-control")),
            ("nosniff", "no-store"),
            "{path}"
        );

        browser.open(path).await;
        let inline = inline(&browser, path).await;
        assert!(inline.is_empty(), "{path} has {inline:?}");
        let ran = browser
            .run("return typeof htmx.version", vec![])
            .await
            .unwrap();
        assert_eq!(ran, Value::from("string"), "{path}: its own script runs");
    }
    // The browser logs missing pages as errors, too.
    let complaints = browser.complaints().await.unwrap();
    let of_policy: Vec<_> = complaints
        .iter()
        .filter(|message| !message.contains("Failed to load resource"))
        .collect();
    assert!(of_policy.is_empty(), "{of_policy:?}");
}
