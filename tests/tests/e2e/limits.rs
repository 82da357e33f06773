//! The limits of a key as its client sees them. A request counts against all of them or against
//! none.

use latchkey_policy::limit::Window;
use latchkey_tests::{Answer, CreatedKey, Gateway};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clock::{end, now, time_in};

async fn key(gateway: &Gateway, name: &str, limits: Value) -> CreatedKey {
    gateway
        .control_plane
        .create_key(json!({ "name": name, "limits": limits }))
        .await
        .unwrap()
}

fn number(answer: &Answer, header: &str) -> Option<i64> {
    answer
        .headers
        .get(header)
        .map(|value| value.to_str().unwrap().parse().unwrap())
}

/// Returns limit, remaining and reset from `X-RateLimit-*`.
fn limit_headers(answer: &Answer) -> Option<(i64, i64, i64)> {
    let [limit, remaining, reset] =
        ["limit", "remaining", "reset"].map(|name| number(answer, &format!("x-ratelimit-{name}")));
    assert_eq!(
        (limit.is_some(), limit.is_some()),
        (remaining.is_some(), reset.is_some())
    );
    limit
        .zip(remaining)
        .zip(reset)
        .map(|((limit, remaining), reset)| (limit, remaining, reset))
}

#[tokio::test]
async fn response_describes_the_nearest_limit() {
    let gateway = Gateway::start().await;
    time_in(Window::Minute, 10).await;
    let key = key(
        &gateway,
        "CI",
        json!({ "minute": 4, "hour": 3, "day": 1_000 }),
    )
    .await;
    let (minute, hour) = (end(Window::Minute), end(Window::Hour));
    for remaining in [2, 1, 0] {
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        assert_eq!(
            (answer.status, limit_headers(&answer)),
            (200, Some((3, remaining, hour)))
        );
    }
    let refused = gateway.ask("/", Some(&key.api_key)).await;
    assert_eq!(
        (refused.status, limit_headers(&refused)),
        (429, Some((3, 0, hour)))
    );
    let path = format!("/v1/keys/{}", key.key_id);
    let roomier = json!({ "limits": { "hour": 50 } });
    gateway
        .control_plane
        .change(Method::PATCH, &path, roomier)
        .await
        .unwrap();
    let answer = gateway.ask("/", Some(&key.api_key)).await;
    assert_eq!(
        (answer.status, limit_headers(&answer)),
        (200, Some((4, 0, minute))),
        "the refusal took nothing"
    );
}

#[tokio::test]
async fn refusal_states_the_wait_in_contract_words() {
    let gateway = Gateway::start().await;
    for window in Window::ALL {
        time_in(Window::Minute, 5).await;
        let limits = json!({ "minute": 10_000, window.as_str(): 2 });
        let key = key(&gateway, window.as_str(), limits).await.api_key;
        for _ in 0..2 {
            assert_eq!(gateway.ask("/", Some(&key)).await.status, 200);
        }
        let before = now();
        let answer = gateway.ask("/", Some(&key)).await;
        assert_eq!((answer.status, answer.code()), (429, "rate_limited"));
        let wait = number(&answer, "retry-after").unwrap();
        let reset = number(&answer, "x-ratelimit-reset").unwrap();
        assert_eq!(reset, end(window));
        assert!(
            (reset - now()..=reset - before).contains(&wait),
            "{wait} s, from {before} to {reset}"
        );
        let seconds = if wait == 1 { "second" } else { "seconds" };
        let sentence = format!(
            "You have exceeded your rate limit of 2 requests per {}. Please wait {wait} {seconds} before retrying.",
            window.as_str()
        );
        let expected = json!({
            "status": "error", "code": "rate_limited", "message": "Rate limit exceeded", "error": sentence,
        });
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn refusing_limit_consumes_no_other() {
    let gateway = Gateway::start().await;
    time_in(Window::Hour, 10).await;
    let key = key(&gateway, "CI", json!({ "hour": 2, "day": 5 })).await;
    for _ in 0..2 {
        assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    }
    for _ in 0..20 {
        assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 429);
    }
    let path = format!("/v1/keys/{}", key.key_id);
    let more = json!({ "limits": { "hour": 1_000 } });
    gateway
        .control_plane
        .change(Method::PATCH, &path, more)
        .await
        .unwrap();
    for remaining in [2, 1, 0] {
        let answer = gateway.ask("/", Some(&key.api_key)).await;
        assert_eq!(
            (answer.status, limit_headers(&answer)),
            (200, Some((5, remaining, end(Window::Day))))
        );
    }
    assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 429);
}

/// A client learns its limits from every answer. A refusal for another reason is not counted.
#[tokio::test]
async fn other_refusals_consume_no_limit() {
    let gateway = Gateway::start().await;
    let rules = json!([
        { "path": { "exact": "/service" }, "service": "dns" },
        { "path": { "exact": "/permission" }, "permission": "dns:read" },
        { "path": { "exact": "/subaccount" }, "subaccount": { "header": "x-subaccount" } }
    ]);
    gateway
        .control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    let subaccount = gateway
        .control_plane
        .create_subaccount("alpha")
        .await
        .unwrap();
    let confined = json!({
        "name": "confined", "scope": ["cdn"], "allowed_subaccounts": [subaccount], "limits": { "day": 7 },
    });
    let confined = gateway
        .control_plane
        .create_key(confined)
        .await
        .unwrap()
        .api_key;
    let abroad = json!({ "name": "abroad", "allowed_ips": ["192.0.2.1"], "limits": { "day": 7 } });
    let abroad = gateway
        .control_plane
        .create_key(abroad)
        .await
        .unwrap()
        .api_key;
    for (path, key, code) in [
        ("/", &abroad, "ip_denied"),
        ("/service", &confined, "out_of_scope"),
        ("/permission", &confined, "missing_permission"),
        ("/subaccount", &confined, "subaccount_denied"),
    ] {
        let answer = gateway.ask(path, Some(key)).await;
        assert_eq!(
            (answer.code(), limit_headers(&answer)),
            (code, Some((7, 7, end(Window::Day)))),
            "{path}"
        );
        assert_eq!(number(&answer, "retry-after"), None, "{path}");
    }
    let answer = gateway.ask("/", Some(&confined)).await;
    assert_eq!(limit_headers(&answer), Some((7, 6, end(Window::Day))));
    assert_eq!(limit_headers(&gateway.ask("/", None).await), None);
    assert_eq!(
        limit_headers(&gateway.ask("/", Some("nonsense")).await),
        None
    );
}

#[tokio::test]
async fn changed_tiers_apply_from_the_answer_on() {
    let gateway = Gateway::start().await;
    let control_plane = &gateway.control_plane;
    for (tier, limit) in [
        ("free", 10),
        ("basic", 100),
        ("pro", 1_000),
        ("enterprise", 10_000),
    ] {
        let key = control_plane
            .create_key(json!({ "name": tier, "tier": tier }))
            .await
            .unwrap()
            .api_key;
        let (limit_told, _, reset) = limit_headers(&gateway.ask("/", Some(&key)).await).unwrap();
        assert_eq!(limit_told, limit, "{tier}");
        assert!((0..=60).contains(&(reset - now())), "{tier}");
    }
    let own = json!({ "name": "own", "tier": "pro", "limits": { "minute": 3 } });
    let own = control_plane.create_key(own).await.unwrap().api_key;
    let plain = control_plane
        .create_key(json!({ "name": "plain", "tier": "pro" }))
        .await
        .unwrap()
        .api_key;
    let limit = async |key: &str| {
        limit_headers(&gateway.ask("/", Some(key)).await).map(|(limit, ..)| limit)
    };
    assert_eq!(
        (limit(&own).await, limit(&plain).await),
        (Some(3), Some(1_000))
    );

    let tiers = json!({ "tiers": [
        { "name": "free", "limits": { "minute": 10 } },
        { "name": "basic", "limits": { "minute": 100 } },
        { "name": "pro", "limits": { "hour": 77 } },
        { "name": "enterprise", "limits": {} }
    ] });
    let enforcement = control_plane
        .change(Method::PUT, "/v1/tiers", tiers)
        .await
        .unwrap();
    assert_eq!((enforcement.nodes, enforcement.acknowledged), (1, 1));
    assert_eq!(
        (limit(&own).await, limit(&plain).await),
        (Some(3), Some(77))
    );
    let unlimited = control_plane
        .create_key(json!({ "name": "unlimited", "tier": "enterprise" }))
        .await
        .unwrap();
    let answer = gateway.ask("/", Some(&unlimited.api_key)).await;
    assert_eq!(
        (answer.status, limit_headers(&answer)),
        (200, None),
        "a key without limits gets no headers"
    );
}

/// The operator has to configure them.
#[tokio::test]
async fn ietf_fields_describe_every_limit() {
    for (styles, has_x, has_ietf) in [
        (json!(["ietf"]), false, true),
        (json!(["x-ratelimit", "ietf"]), true, true),
        (json!([]), false, false),
    ] {
        let configuration = json!({ "rate_limit_headers": styles });
        let gateway = Gateway::builder()
            .envoy(move |envoy| envoy.configuration = configuration)
            .start()
            .await;
        time_in(Window::Hour, 10).await;
        let key = key(&gateway, "CI", json!({ "hour": 20, "day": 2 }))
            .await
            .api_key;
        for (status, hour, day) in [(200, 19, 1), (200, 18, 0), (429, 18, 0)] {
            let before = now();
            let answer = gateway.ask("/", Some(&key)).await;
            assert_eq!(answer.status, status, "{}", answer.body);
            assert_eq!(limit_headers(&answer).is_some(), has_x, "{styles}");
            let field = |name: &str| {
                answer
                    .headers
                    .get(name)
                    .map(|value| value.to_str().unwrap())
            };
            if !has_ietf {
                assert_eq!(
                    (field("ratelimit"), field("ratelimit-policy")),
                    (None, None)
                );
                continue;
            }
            let policy = r#""minute";q=100;w=60, "hour";q=20;w=3600, "day";q=2;w=86400"#;
            assert_eq!(field("ratelimit-policy"), Some(policy));
            let left: Vec<_> = field("ratelimit").unwrap().split(", ").collect();
            let [minute, in_hour, in_day] = left[..] else {
                panic!("{left:?}")
            };
            assert!(minute.starts_with(r#""minute";r="#), "{left:?}");
            for (item, window, remaining) in
                [(in_hour, Window::Hour, hour), (in_day, Window::Day, day)]
            {
                let rest = item.strip_prefix(&format!("\"{}\";r={remaining};t=", window.as_str()));
                let rest: i64 = rest.unwrap_or_else(|| panic!("{left:?}")).parse().unwrap();
                assert!(
                    (end(window) - now()..=end(window) - before).contains(&rest),
                    "{left:?}"
                );
            }
        }
    }
}
