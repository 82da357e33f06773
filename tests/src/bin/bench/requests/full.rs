//! The configuration with the most work for Latchkey, and the requests that are sent to all
//! contenders.

use std::path::Path;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::latchkey::{self, Latchkey};
use super::{FULL, chains};
use crate::cores::Cores;
use crate::keys;

/// The methods and paths of the requests. Each matches a different rule.
pub(crate) const TARGETS: [(&str, &str); 8] = [
    ("GET", "/v4/dns/zones/8f14e45fceea167a"),
    ("POST", "/v4/dns/records/c9f0f895fb98ab91"),
    ("GET", "/v4/cdn/domains/45c48cce2e2d7fbd"),
    ("GET", "/v4/billing/invoices/d3d9446802a44259"),
    ("POST", "/v4/billing/orders/6512bd43d9caa6e0"),
    ("GET", "/v4/vm/servers/c20ad4d76fe97759"),
    ("GET", "/v4/ai/models/c51ce410c124a10e"),
    ("POST", "/v4/ai/chats/aab3238922bcc25a"),
];

/// The services, each with five kinds of resources, which can be read and written.
const SERVICES: [(&str, [&str; 5]); 5] = [
    ("dns", ["accounts", "tokens", "reports", "zones", "records"]),
    (
        "cdn",
        ["accounts", "tokens", "reports", "caches", "domains"],
    ),
    (
        "billing",
        ["accounts", "tokens", "reports", "invoices", "orders"],
    ),
    ("vm", ["accounts", "tokens", "reports", "images", "servers"]),
    ("ai", ["accounts", "tokens", "reports", "models", "chats"]),
];

/// Returns a key with a tier, whose limit is not reached by requests with a thousand keys drawn at
/// random.
pub(crate) fn plain_key(_: usize) -> Value {
    json!({ "tier": chains::TIER })
}

/// Returns a key with all restrictions. There are ten kinds, with different IP lists.
fn full_key(number: usize) -> Value {
    let networks = (0..19).map(|network| format!("10.{}.{network}.0/24", number % 10));
    let allowed: Vec<String> = networks.chain(["127.0.0.0/8".to_owned()]).collect();
    let services: Vec<&str> = SERVICES.iter().map(|(service, _)| *service).collect();
    json!({
        "tier": chains::TIER,
        "scope": services,
        "roles": ["dns_manager", "billing_manager"],
        "permissions": ["cdn:*", "vm:*", "ai:*"],
        "allowed_ips": allowed,
        "limits": { "hour": 100_000_000, "day": 1_000_000_000 },
    })
}

/// Returns fifty rules.
fn routes() -> Value {
    let rule = |service: &str, thing: &str, methods: &[&str], action: &str| {
        json!({
            "path": { "template": format!("/v4/{service}/{thing}/{{id}}") },
            "methods": methods,
            "service": service,
            "permission": format!("{service}:{action}"),
        })
    };
    let rules = SERVICES.iter().flat_map(|(service, things)| {
        things.iter().flat_map(move |thing| {
            [
                rule(service, thing, &["GET", "HEAD"], "read"),
                rule(service, thing, &["POST", "PUT", "DELETE"], "write"),
            ]
        })
    });
    json!({ "rules": rules.collect::<Vec<_>>(), "unmatched": "deny" })
}

/// Starts a Latchkey with all of these.
pub(crate) async fn start(dir: &Path, cores: Cores, count: usize) -> Result<Latchkey> {
    let control_plane = latchkey::control_plane(FULL, dir).await?;
    for (service, _) in SERVICES {
        control_plane
            .call(Method::POST, "/v1/services", json!({ "name": service }))
            .await?;
    }
    control_plane.put_routes(routes()).await?;
    keys::import(&control_plane, 0..count, full_key).await?;
    Latchkey::follow(FULL, dir, cores, control_plane, count, json!({})).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifty_rules_match_one_request_each() {
        let routes = routes();
        let rules = routes["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 50);
        for (method, path) in TARGETS {
            let (head, _) = path.rsplit_once('/').unwrap();
            let meets = |rule: &&Value| {
                let methods = rule["methods"].as_array().unwrap();
                rule["path"]["template"] == format!("{head}/{{id}}")
                    && methods.contains(&json!(method))
            };
            assert_eq!(rules.iter().filter(meets).count(), 1, "{method} {path}");
        }
    }
}
