//! The rules of a key's IP lists, each with addresses on both sides of it.
//!
//! Envoy trusts one proxy in front here, so a request comes from the last address of
//! `x-forwarded-for`.

use latchkey_tests::{Answer, Gateway};
use serde_json::{Value, json};

struct Rule {
    name: &'static str,
    allowed: Value,
    denied: Value,
    admits: &'static [&'static str],
    refuses: &'static [&'static str],
}

async fn gateway() -> Gateway {
    Gateway::builder()
        .envoy(|envoy| envoy.trusted_proxies = 1)
        .start()
        .await
}

async fn ask(gateway: &Gateway, key: &str, forwarded_for: &str) -> Answer {
    gateway
        .ask_with(
            "/",
            &[("x-api-key", key), ("x-forwarded-for", forwarded_for)],
        )
        .await
}

#[tokio::test]
async fn ip_list_rules_hold_at_envoy() {
    let gateway = gateway().await;
    let thousands: Vec<String> = (0..3_000)
        .map(|n| format!("10.{}.{}.0/25", n / 250, n % 250))
        .collect();
    let rules = [
        Rule {
            name: "no lists admit every address",
            allowed: json!([]),
            denied: json!([]),
            admits: &["192.0.2.1", "2001:db8::1"],
            refuses: &[],
        },
        Rule {
            name: "an allow list admits its single addresses and ranges alone",
            allowed: json!(["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"]),
            denied: json!([]),
            admits: &[
                "192.0.2.1",
                "198.51.100.0",
                "198.51.100.255",
                "2001:db8:ffff::1",
            ],
            refuses: &["192.0.2.2", "198.51.99.255", "198.51.101.0", "2001:db9::1"],
        },
        Rule {
            name: "a deny list alone refuses its own and admits the rest",
            allowed: json!([]),
            denied: json!(["192.0.2.0/24", "2001:db8::1"]),
            admits: &["192.0.3.1", "2001:db8::2"],
            refuses: &["192.0.2.77", "2001:db8::1"],
        },
        Rule {
            name: "an address on both lists is admitted, and one on none is not",
            allowed: json!(["10.1.0.0/16"]),
            denied: json!(["10.0.0.0/8"]),
            admits: &["10.1.2.3"],
            refuses: &["10.2.0.1", "192.0.2.1"],
        },
        Rule {
            name: "an entry that is not enabled counts as absent",
            allowed: json!([{"cidr": "192.0.2.0/24", "enabled": false}]),
            denied: json!([{"cidr": "198.51.100.1", "enabled": true}, {"cidr": "203.0.113.0/24", "enabled": false}]),
            admits: &["192.0.2.1", "203.0.113.9", "10.0.0.1"],
            refuses: &["198.51.100.1"],
        },
        Rule {
            name: "a mapped address is the IPv4 address in it, in a list as in a request",
            allowed: json!(["::ffff:192.0.2.0/120", "198.51.100.1"]),
            denied: json!([]),
            admits: &["192.0.2.9", "::ffff:192.0.2.9", "::ffff:198.51.100.1"],
            refuses: &["::ffff:198.51.100.2", "2001:db8::1"],
        },
        Rule {
            name: "thousands of ranges on one key",
            allowed: json!(thousands),
            denied: json!([]),
            admits: &["10.0.0.1", "10.11.249.127", "10.5.5.5"],
            refuses: &["10.0.0.128", "10.12.0.1", "10.5.250.1"],
        },
    ];
    for Rule {
        name,
        allowed,
        denied,
        admits,
        refuses,
    } in rules
    {
        let key = json!({ "name": name, "allowed_ips": allowed, "denied_ips": denied });
        let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
        for address in admits {
            let answer = ask(&gateway, &key, address).await;
            assert_eq!(answer.status, 200, "{name}: {address}: {}", answer.body);
        }
        for address in refuses {
            let answer = ask(&gateway, &key, address).await;
            assert_eq!(
                (answer.status, answer.code()),
                (403, "ip_denied"),
                "{name}: {address}"
            );
            assert!(!answer.headers.contains_key("www-authenticate"));
        }
    }
}

#[tokio::test]
async fn untrusted_entries_do_not_count() {
    let gateway = gateway().await;
    let key = json!({ "name": "CI", "allowed_ips": ["192.0.2.1"] });
    let key = gateway.control_plane.create_key(key).await.unwrap().api_key;
    assert_eq!(ask(&gateway, &key, "192.0.2.1").await.status, 200);
    assert_eq!(
        ask(&gateway, &key, "198.51.100.1, 192.0.2.1").await.status,
        200
    );
    assert_eq!(
        ask(&gateway, &key, "192.0.2.1, 198.51.100.1").await.code(),
        "ip_denied"
    );
}

#[tokio::test]
async fn connection_address_counts_without_a_trusted_proxy() {
    let gateway = Gateway::start().await;
    let mut keys = Vec::new();
    for (name, list) in [("loopback", "127.0.0.0/8"), ("elsewhere", "192.0.2.1")] {
        let key = json!({ "name": name, "allowed_ips": [list] });
        keys.push(gateway.control_plane.create_key(key).await.unwrap().api_key);
    }
    assert_eq!(ask(&gateway, &keys[0], "192.0.2.1").await.status, 200);
    assert_eq!(
        ask(&gateway, &keys[1], "192.0.2.1").await.code(),
        "ip_denied"
    );
}

/// Entries that Envoy cannot read. It then uses the proxy's address, which here is the test's own.
const NO_ADDRESS: [&str; 9] = [
    "203.0.113.9:4711",
    "[2001:db8::1]:443",
    "[2001:db8::1]",
    "2001:db8::1%eth0",
    "\"203.0.113.9\"",
    "203.0.113.009",
    "203.0.113.9,",
    "unknown",
    "",
];

/// Creates four keys: with a deny list, with an allow list of the proxy, with an allow list of the
/// client, and with no enabled entry.
async fn lists(gateway: &Gateway) -> [String; 4] {
    let mut keys = Vec::new();
    for (name, allowed, denied) in [
        (
            "deny",
            json!([]),
            json!(["203.0.113.0/24", "2001:db8::/32"]),
        ),
        ("allow the proxy", json!(["127.0.0.0/8"]), json!([])),
        (
            "allow the client",
            json!(["203.0.113.0/24", "2001:db8::/32"]),
            json!([]),
        ),
        (
            "a disabled entry",
            json!([{ "cidr": "192.0.2.1", "enabled": false }]),
            json!([]),
        ),
    ] {
        let key = json!({ "name": name, "allowed_ips": allowed, "denied_ips": denied });
        keys.push(gateway.control_plane.create_key(key).await.unwrap().api_key);
    }
    keys.try_into().unwrap()
}

async fn codes(gateway: &Gateway, keys: &[String; 4], forwarded_for: &[&str]) -> [String; 4] {
    let mut codes = Vec::new();
    for key in keys {
        let headers = forwarded_for
            .iter()
            .map(|value| ("x-forwarded-for", *value));
        let headers: Vec<_> = headers.chain([("x-api-key", key.as_str())]).collect();
        codes.push(gateway.ask_with("/", &headers).await.code().to_owned());
    }
    codes.try_into().unwrap()
}

#[tokio::test]
async fn every_list_refuses_unreadable_entries() {
    for hops in [1, 2] {
        let gateway = Gateway::builder().envoy(move |envoy| {
            envoy.trusted_proxies = hops;
            envoy.configuration = json!({ "client_address": { "xff_trusted_hops": hops } });
        });
        let gateway = gateway.start().await;
        let keys = lists(&gateway).await;
        // With two hops another proxy has appended its address.
        let inner = if hops == 1 { "" } else { ", 192.0.2.77" };
        let refused = ["ip_denied", "ip_denied", "ip_denied", ""];
        for entry in NO_ADDRESS {
            let value = format!("{entry}{inner}");
            // Envoy ignores an empty element at the end, so that the one before it counts.
            let before = format!("198.51.100.1, {value}");
            assert_eq!(
                codes(&gateway, &keys, &[&value]).await,
                refused,
                "{hops} {value}"
            );
            assert_eq!(
                codes(&gateway, &keys, &[&before]).await,
                refused,
                "{hops} {before}"
            );
            if !value.is_empty() {
                // Envoy ignores a header without a value.
                assert_eq!(
                    codes(&gateway, &keys, &["198.51.100.1", &value]).await,
                    refused,
                    "{hops} {value}"
                );
            }
        }
        assert_eq!(codes(&gateway, &keys, &[]).await, refused, "{hops}");
        for (entry, expected) in [
            ("203.0.113.9", ["ip_denied", "ip_denied", "", ""]),
            ("2001:db8::1", ["ip_denied", "ip_denied", "", ""]),
            ("198.51.100.1", ["", "ip_denied", "ip_denied", ""]),
            ("::ffff:198.51.100.1", ["", "ip_denied", "ip_denied", ""]),
            ("127.0.0.1", ["", "", "ip_denied", ""]),
        ] {
            let value = format!("{entry}{inner}");
            assert_eq!(
                codes(&gateway, &keys, &[&value]).await,
                expected,
                "{hops} {value}"
            );
            // Elements before the trusted entry do not count, in the same header or in an earlier
            // one.
            assert_eq!(
                codes(&gateway, &keys, &[&format!("unknown, {value}")]).await,
                expected,
                "{hops} {value}"
            );
            assert_eq!(
                codes(&gateway, &keys, &["203.0.113.9:1", &value]).await,
                expected,
                "{hops} {value}"
            );
        }
    }
}

#[tokio::test]
async fn last_entry_counts_without_remote_address() {
    let gateway = Gateway::builder().envoy(|envoy| {
        envoy.use_remote_address = false;
        envoy.configuration = json!({ "client_address": { "xff_trusted_hops": 0 } });
    });
    let gateway = gateway.start().await;
    let keys = lists(&gateway).await;
    for entry in NO_ADDRESS {
        let refused = ["ip_denied", "ip_denied", "ip_denied", ""];
        assert_eq!(codes(&gateway, &keys, &[entry]).await, refused, "{entry}");
    }
    assert_eq!(
        codes(&gateway, &keys, &["203.0.113.9"]).await,
        ["ip_denied", "ip_denied", "", ""]
    );
    assert_eq!(
        codes(&gateway, &keys, &["1.1.1.1", "2001:db8::1"]).await,
        ["ip_denied", "ip_denied", "", ""]
    );
    assert_eq!(
        codes(&gateway, &keys, &["198.51.100.1"]).await,
        ["", "ip_denied", "ip_denied", ""]
    );
}

/// Checks a gateway without `client_address`, as docs/tutorials/harden-the-listener.md describes
/// it.
#[tokio::test]
async fn proxy_address_counts_without_client_address() {
    let gateway = gateway().await;
    let keys = lists(&gateway).await;
    assert_eq!(
        codes(&gateway, &keys, &["203.0.113.9:4711"]).await,
        ["", "", "ip_denied", ""]
    );
}
