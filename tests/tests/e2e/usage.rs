//! The usage of a key as the API shows it: within a second, through all faults, and with each
//! request counted once.

use std::time::Duration;

use anyhow::ensure;
use latchkey_policy::limit::Window;
use latchkey_tests::{Connection, CreatedKey, Gateway, eventually, faulty_filter, request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clock::{now, reaches, time_in};

/// The time until usage is reported. It takes less than a second, but other tests share the
/// machine.
pub(crate) const REPORTED_WITHIN: Duration = Duration::from_secs(2);

/// The time of a takeover. A thread that dies with the stream is missed after three seconds, and
/// its successor reports within another.
const TAKEOVER: Duration = Duration::from_secs(8);

/// Waits until the API shows exactly that many requests today and this month.
pub(crate) async fn used_today(gateway: &Gateway, key_id: &str, requests: u64) {
    used_within(REPORTED_WITHIN, gateway, key_id, requests).await;
}

async fn used_within(time: Duration, gateway: &Gateway, key_id: &str, requests: u64) {
    let reported = eventually(time, async || {
        let usage = gateway.control_plane.key(key_id).await?["usage"].take();
        let today_and_this_month = (&usage["requests_today"], &usage["requests_this_month"]);
        ensure!(
            today_and_this_month == (&json!(requests), &json!(requests)),
            "{requests} requests, but {usage}"
        );
        Ok(())
    });
    reported.await.unwrap();
}

/// Creates a key on a day that does not end before the test.
async fn key(gateway: &Gateway) -> CreatedKey {
    time_in(Window::Day, 60).await;
    let key = json!({ "name": "CI", "limits": { "minute": u32::MAX } });
    gateway.control_plane.create_key(key).await.unwrap()
}

async fn send(gateway: &Gateway, key: &CreatedKey, count: usize) {
    for _ in 0..count {
        assert_eq!(gateway.ask("/", Some(&key.api_key)).await.status, 200);
    }
}

#[tokio::test]
async fn key_shows_its_last_use() {
    let gateway = Gateway::builder()
        .envoy(|envoy| envoy.trusted_proxies = 1)
        .start()
        .await;
    let control_plane = &gateway.control_plane;
    let rules = json!([
        { "path": { "exact": "/service" }, "service": "dns" },
        { "path": { "exact": "/permission" }, "permission": "dns:read" },
        { "path": { "exact": "/subaccount" }, "subaccount": { "header": "x-subaccount" } }
    ]);
    control_plane
        .put_routes(json!({ "rules": rules }))
        .await
        .unwrap();
    let key = json!({
        "name": "CI", "scope": ["cdn"], "denied_ips": ["198.51.100.1"], "limits": { "minute": 1_000, "day": 3 },
    });
    let key = control_plane.create_key(key).await.unwrap();
    time_in(Window::Day, 60).await;
    let unused = control_plane.key(&key.key_id).await.unwrap();
    assert_eq!(
        (&unused["last_used_at"], &unused["last_used_ip"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(unused["usage"]["requests_today"], 0);

    let from = ["192.0.2.1", "2001:db8::1", "::ffff:203.0.113.9"];
    for (address, known_as) in from
        .into_iter()
        .zip(["192.0.2.1", "2001:db8::1", "203.0.113.9"])
    {
        // The address is noted from the first request in a second.
        reaches(now() + 1).await;
        let before = now();
        let headers = [
            ("x-api-key", key.api_key.as_str()),
            ("x-forwarded-for", address),
        ];
        assert_eq!(gateway.ask_with("/", &headers).await.status, 200);
        let reported = eventually(REPORTED_WITHIN, async || {
            let key = control_plane.key(&key.key_id).await?;
            ensure!(
                key["last_used_ip"] == known_as,
                "last used from {}",
                key["last_used_ip"]
            );
            Ok(key["last_used_at"].as_str().unwrap().to_owned())
        });
        let at: u64 = seconds_of_the_day(&reported.await.unwrap());
        let (before, after) = (
            before.unsigned_abs() % 86_400,
            now().unsigned_abs() % 86_400,
        );
        assert!(
            (before..=after).contains(&at),
            "used at {at}, between {before} and {after}"
        );
    }
    for (path, from, code) in [
        ("/", "198.51.100.1", "ip_denied"),
        ("/service", "192.0.2.1", "out_of_scope"),
        ("/permission", "192.0.2.1", "missing_permission"),
        ("/subaccount", "192.0.2.1", ""),
    ] {
        let headers = [
            ("x-api-key", key.api_key.as_str()),
            ("x-forwarded-for", from),
            ("x-subaccount", "sub_000000000000"),
        ];
        let code = if code.is_empty() {
            "subaccount_denied"
        } else {
            code
        };
        assert_eq!(gateway.ask_with(path, &headers).await.code(), code);
    }
    for _ in 0..2 {
        assert_eq!(
            gateway
                .ask_with("/", &[("x-api-key", &key.api_key)])
                .await
                .code(),
            "rate_limited"
        );
    }
    let path = format!("/v1/keys/{}", key.key_id);
    control_plane
        .change(Method::PATCH, &path, json!({ "active": false }))
        .await
        .unwrap();
    assert_eq!(
        gateway.ask("/", Some(&key.api_key)).await.code(),
        "disabled_key"
    );

    let expected = json!({
        "allowed": 3, "disabled_key": 1, "ip_denied": 1, "missing_permission": 1, "out_of_scope": 1,
        "rate_limited": 2, "subaccount_denied": 1,
    });
    let reported = eventually(REPORTED_WITHIN, async || {
        let usage = control_plane.key(&key.key_id).await?["usage"].take();
        let by_code = usage["by_code"].as_object().cloned().unwrap_or_default();
        let by_code: Value = by_code
            .into_iter()
            .filter(|(_, count)| *count != 0)
            .collect();
        ensure!(by_code == expected, "{usage}");
        ensure!(
            usage["requests_today"] == 3,
            "what was refused is no use: {usage}"
        );
        Ok(())
    });
    reported.await.unwrap();
    let listed = control_plane
        .request(Method::GET, &format!("/v1/usage?key_id={}", key.key_id))
        .await
        .unwrap();
    let listed: Value = listed.send().await.unwrap().json().await.unwrap();
    let buckets = listed["data"]["buckets"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed}"));
    let total: u64 = buckets
        .iter()
        .map(|bucket| bucket["requests"].as_u64().unwrap())
        .sum();
    assert_eq!(total, 10, "{listed}");
}

/// Returns the seconds of the day of an RFC 3339 time in UTC.
fn seconds_of_the_day(time: &str) -> u64 {
    let clock = time.split_once('T').unwrap().1.trim_end_matches('Z');
    clock.split(':').fold(0, |seconds, part| {
        seconds * 60 + part.split('.').next().unwrap().parse::<u64>().unwrap()
    })
}

#[tokio::test]
async fn usage_during_an_outage_is_counted_later() {
    let mut gateway = Gateway::start().await;
    let key = key(&gateway).await;
    send(&gateway, &key, 5).await;
    used_today(&gateway, &key.key_id, 5).await;
    for round in 1..=2 {
        gateway.control_plane.kill();
        send(&gateway, &key, 20).await;
        gateway.control_plane.start().await.unwrap();
        used_today(&gateway, &key.key_id, 5 + 20 * round).await;
    }
}

/// The control plane is killed repeatedly during reports. Each time some may have been stored and
/// not acknowledged.
#[tokio::test]
async fn killed_control_plane_counts_nothing_twice() {
    let mut gateway = Gateway::start().await;
    let key = key(&gateway).await;
    let mut sent = 0;
    for round in 0..6 {
        // Reports go out every 250 ms, so the kill happens at another point of the interval in each
        // round.
        let until = tokio::time::Instant::now() + Duration::from_millis(230 + 37 * round);
        while tokio::time::Instant::now() < until {
            send(&gateway, &key, 1).await;
            sent += 1;
        }
        gateway.control_plane.restart().await.unwrap();
    }
    used_today(&gateway, &key.key_id, sent).await;
    // Another report of the same totals would have arrived by now.
    send(&gateway, &key, 1).await;
    used_today(&gateway, &key.key_id, sent + 1).await;
}

/// First the thread dies that holds the stream, and with it the reports, and then one that serves a
/// request.
#[tokio::test]
async fn dying_thread_loses_no_counts() {
    let gateway = Gateway::builder()
        .filter(faulty_filter().unwrap())
        .envoy(|envoy| {
            envoy.concurrency = 4;
            envoy.configuration =
                json!({ "fault": { "request_header": "x-trap", "holder_traps": 1 } });
        })
        .start()
        .await;
    let key = key(&gateway).await;
    // Each request is on a new connection, so that it meets any worker; one that has died answers
    // 503.
    let ask = async |trap: &[(&str, &str)]| {
        let headers = [&[("x-api-key", key.api_key.as_str())], trap].concat();
        let answer = Connection::to(gateway.envoy.gateway())
            .send(&request("GET", "/", &headers))
            .await;
        answer.is_ok_and(|answer| answer.status == 200)
    };
    // The holder may die before it has heard of the key, which its successor then loads.
    let known = eventually(TAKEOVER, async || {
        ensure!(ask(&[]).await, "the key is not known");
        Ok(())
    });
    known.await.unwrap();
    let mut passed = 1;
    for round in 0..40 {
        passed += u64::from(ask(&[]).await);
        if round == 10 {
            assert!(!ask(&[("x-trap", "1")]).await, "the request that traps");
        }
    }
    assert!(passed > 10, "{passed} passed");
    used_within(TAKEOVER, &gateway, &key.key_id, passed).await;
    assert!(
        gateway
            .envoy
            .log()
            .contains("fault: the holder of the stream traps")
    );
}
