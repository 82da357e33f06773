//! A user who may only read sees no form that changes anything, and each such form is refused.

use latchkey_tests::{Browser, Gateway};
use serde_json::json;

use super::forms::{Form, all_forms, state};
use super::{
    Session, browser_of, log_in,
    tour::{follow, tour},
};

/// Forms that everybody may send: they concern nobody else, or change nothing.
const FREE: [&str; 5] = [
    "/console/logout",
    "/console/me",
    "/console/explain",
    "/console/routes/try",
    "/console/check/ip",
];

fn changes(form: &Form) -> bool {
    !FREE.contains(&form.path.as_str())
}

#[tokio::test]
async fn read_only_administrator_can_change_nothing() {
    let mut gateway = Gateway::start().await;
    let demo = gateway.with_demo_data().await.unwrap();
    let control_plane = &gateway.control_plane;
    let administrator = browser_of(control_plane, control_plane.credentials()).await;
    let pages = tour(&administrator, &demo).await;
    let changing: Vec<Form> = all_forms(&administrator, pages.values())
        .await
        .into_iter()
        .filter(changes)
        .collect();
    let offered = |path: &str| changing.iter().any(|form| form.path.ends_with(path));
    assert!(
        [
            "/new",
            "/edit",
            "/ip-lists",
            "/regenerate",
            "/revoke",
            "/routes"
        ]
        .into_iter()
        .all(offered),
        "{changing:?}"
    );

    let browser = browser_of(control_plane, demo.reader.credentials()).await;
    for action in ["Create a key", "Create the first key", "Revoke"] {
        assert!(!browser.offers(action).await, "{action}");
    }
    let theirs = follow(&browser, &demo).await;
    for section in [
        "keys",
        "keys/{revoked}",
        "usage",
        "explain",
        "users",
        "audit",
        "nodes",
        "routes",
    ] {
        assert!(
            theirs.contains_key(&format!("/console/{section}")),
            "{section} is not among {:?}",
            theirs.keys()
        );
    }
    let leading: Vec<_> = theirs
        .keys()
        .filter(|page| page.ends_with("/new") || page.contains("}/"))
        .collect();
    assert!(leading.is_empty(), "they are led to {leading:?}");
    let theirs: Vec<Form> = all_forms(&browser, theirs.values())
        .await
        .into_iter()
        .filter(changes)
        .collect();
    assert!(theirs.is_empty(), "they are offered {theirs:?}");

    let session = Session::in_browser(&browser).await;
    let before = state(&gateway).await;
    for Form { path, fields } in &changing {
        let answer = session
            .post(control_plane, path, Some(&session.csrf), fields)
            .await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 403, "{path} with {fields:?}");
        assert!(
            !text.contains("nothing has changed"),
            "{path} was refused for what it may, and not for its token"
        );
    }
    assert_eq!(state(&gateway).await, before);
    for path in pages
        .values()
        .filter(|path| path.ends_with("/new") || path.ends_with("/edit"))
    {
        assert_eq!(
            session.get(control_plane, path).await.status(),
            403,
            "{path}"
        );
    }
}

/// The user has no permission to see keys.
#[tokio::test]
async fn powerless_user_can_change_password() {
    let gateway = Gateway::start().await;
    let control_plane = &gateway.control_plane;
    let user = json!({ "email": "grace@example.com", "roles": ["dns_manager", "traffic_manager"] });
    let user = control_plane.create_user(user).await.unwrap();
    let (email, old) = user.credentials();
    let (browser, new) = (
        Browser::start(control_plane.url("")).await,
        "another password of hers",
    );
    log_in(&browser, (email, old)).await;
    browser.sees(email).await;
    assert!(browser.offers("Log out").await);
    for section in ["API keys", "Users", "Audit", "Nodes"] {
        assert!(
            !browser.offers(section).await,
            "they are led to {section}, which they may not see"
        );
    }
    browser.press(email).await;
    browser.arrives_at("/console/me").await;
    browser.fill("Current password", old).await;
    browser.fill("New password", new).await;
    browser.fill("New password again", new).await;
    browser.press("Change my password").await;
    browser.sees("Your password is changed.").await;
    browser.press("Log out").await;
    browser.sees("You have logged out.").await;
    log_in(&browser, (email, old)).await;
    browser.arrives_at("/console/login").await;
    assert_eq!(browser.status().await, 401);
    log_in(&browser, (email, new)).await;
    browser.sees(email).await;
    assert!(browser.offers("Log out").await);
    // Pages that the user may not see lead back to those that they may.
    browser.open("/console/keys").await;
    assert_eq!(browser.status().await, 403);
    browser.press("Go to the start page").await;
    browser.sees(email).await;
    browser.press("Log out").await;
    browser.sees("You have logged out.").await;
}
