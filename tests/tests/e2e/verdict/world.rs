//! A gateway with rules and keys for each row of the table, and the requests of the rows.

use std::collections::BTreeMap;

use latchkey_policy::limit::Window;
use latchkey_tests::{Answer, CreatedKey, Gateway};
use reqwest::Method;
use serde_json::{Value, json};

use super::{HOME, ROWS, counts, row_path};
use crate::clock::{now, reaches, time_in};
use crate::unknown_key;

/// Returns the rules. Those of the service `dns` have every condition that a rule can have.
pub(super) fn routes() -> Value {
    json!({ "rules": [
        { "path": { "prefix": "/public" }, "public": true },
        { "path": { "prefix": "/open" } },
        { "path": { "prefix": "/cdn" }, "service": "cdn", "permission": "cache:purge" },
        { "path": { "prefix": "/dns/write" }, "service": "dns", "permission": "dns:write",
          "subaccount": { "header": "x-subaccount" } },
        { "path": { "prefix": "/dns" }, "service": "dns", "permission": "dns:read",
          "subaccount": { "header": "x-subaccount" } }
    ] })
}

/// A gateway with the rules above, and keys that only lack the conditions in their names.
pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) keys: BTreeMap<&'static str, CreatedKey>,
    alpha: String,
    beta: String,
}

impl World {
    pub(super) async fn start(configuration: Value) -> Self {
        time_in(Window::Day, 60).await;
        let gateway = Gateway::builder().envoy(|envoy| {
            envoy.trusted_proxies = 1;
            envoy.configuration = configuration;
        });
        let gateway = gateway.start().await;
        let control_plane = &gateway.control_plane;
        control_plane.put_routes(routes()).await.unwrap();
        let alpha = control_plane.create_subaccount("alpha").await.unwrap();
        let beta = control_plane.create_subaccount("beta").await.unwrap();
        let good = json!({
            "scope": ["dns"], "permissions": ["dns:read"], "allowed_subaccounts": [alpha],
            "allowed_ips": ["192.0.2.0/24"], "limits": {},
        });
        let owner = json!({ "email": "owner@example.com", "roles": ["dns_manager"],
            "permissions": ["account:apikeys:create"] });
        let owner = control_plane.create_user(owner).await.unwrap();
        let mut keys = BTreeMap::new();
        for name in [
            "good",
            "used up",
            "expired",
            "disabled",
            "disabled owner's",
            "revoked",
        ] {
            let mut key = good.clone();
            key["name"] = name.into();
            key["limits"]["day"] = if name == "good" { 1_000 } else { 1 }.into();
            let created = match name {
                "disabled owner's" => control_plane.create_key_of(&owner, key).await,
                _ => control_plane.create_key(key).await,
            };
            keys.insert(name, created.unwrap());
        }
        let world = Self {
            gateway,
            keys,
            alpha,
            beta,
        };
        world.wear_out(&owner.user_id).await;
        world
    }

    /// Uses up the limits of one request, and changes each key as its name says.
    pub(super) async fn wear_out(&self, owner: &str) {
        let control_plane = &self.gateway.control_plane;
        for (name, key) in &self.keys {
            let answer = self.ask(Some(&key.api_key), "/open", HOME, None).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.body);
        }
        let soon = now() + 2;
        for (name, change) in [
            ("expired", json!({ "expires_at": soon })),
            ("disabled", json!({ "expires_at": soon, "active": false })),
            ("disabled owner's", json!({ "expires_at": soon })),
            ("revoked", json!({ "expires_at": soon, "active": false })),
        ] {
            let key = format!("/v1/keys/{}", self.keys[name].key_id);
            control_plane
                .change(Method::PATCH, &key, change)
                .await
                .unwrap();
        }
        let owner = format!("/v1/users/{owner}");
        control_plane
            .change(Method::PATCH, &owner, json!({ "disabled": true }))
            .await
            .unwrap();
        control_plane
            .revoke(&self.keys["revoked"].key_id)
            .await
            .unwrap();
        reaches(soon).await;
    }

    pub(super) async fn ask(
        &self,
        key: Option<&str>,
        path: &str,
        from: &str,
        subaccount: Option<&str>,
    ) -> Answer {
        let headers = [
            ("x-api-key", key),
            ("x-forwarded-for", Some(from)),
            ("x-subaccount", subaccount),
        ];
        let headers: Vec<_> = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        self.gateway.ask_with(path, &headers).await
    }
}

impl World {
    /// Sends a row's request, and returns the answer. The request must be counted as this row's
    /// code and as no other.
    pub(super) async fn send(&self, number: usize) -> Answer {
        let (rule, key, path, from, subaccount, code) = ROWS[number];
        let unknown = unknown_key();
        let ambiguous = format!("lk_live_nonsense, {unknown}");
        let key = match key {
            "none" => None,
            "ambiguous" => Some(ambiguous.as_str()),
            "malformed" => Some("lk_live_nonsense"),
            "unknown" => Some(unknown.as_str()),
            name => Some(self.keys[name].api_key.as_str()),
        };
        let subaccount = match subaccount {
            "alpha" => Some(self.alpha.as_str()),
            "beta" => Some(self.beta.as_str()),
            _ => None,
        };
        let before = counts(&self.gateway.envoy).await;
        let answer = self
            .ask(key, &row_path(number, path), from, subaccount)
            .await;
        let after = counts(&self.gateway.envoy).await;
        let counted: Vec<_> = after
            .iter()
            .filter(|(code, count)| before.get(*code) != Some(count))
            .collect();
        let total = before.get(code).copied().unwrap_or_default() + 1;
        assert_eq!(counted, [(&code.to_owned(), &total)], "{rule}");
        answer
    }
}
