//! A random world: owners, subaccounts, keys with all kinds of restrictions, and route rules; and
//! random requests to it.

use std::collections::BTreeSet;

use latchkey_policy::limit::Window;
use latchkey_tests::{CreatedKey, Gateway, SeededRng, User};
use reqwest::Method;
use serde_json::{Value, json};

use crate::clock::{now, reaches, time_in};
use crate::unknown_key;
use crate::usage::used_today;

const OWNERS: usize = 5;
const KEYS: usize = 40;
const RULES: usize = 30;

const SERVICES: [&str; 3] = ["dns", "cdn", "vm"];
const PERMISSIONS: [&str; 5] = [
    "dns:read",
    "dns:write",
    "cache:purge",
    "vm:disks:read",
    "analytics:read",
];
const PATTERNS: [&str; 6] = [
    "*",
    "dns:*",
    "*:read",
    "cache:purge",
    "vm:*:read",
    "dns:read",
];
const ROLES: [&str; 5] = [
    "admin",
    "read_only_admin",
    "dns_manager",
    "cache_purger",
    "insights_analyst",
];
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
const RULE_HOSTS: [&str; 3] = ["api.example.com", "*.example.com", "other.test"];
const HOSTS: [&str; 8] = [
    "api.example.com",
    "API.example.com:8443",
    "x.example.com.",
    "a.b.example.com",
    "example.com",
    "other.test",
    "gateway",
    "user@other.test",
];
const SEGMENTS: [&str; 5] = ["v4", "zones", "records", "caf%C3%A9", "7"];
const ADDRESSES: [&str; 6] = [
    "192.0.2.1",
    "192.0.2.200",
    "198.51.100.7",
    "2001:db8::1",
    "2001:db8:1::1",
    "::ffff:203.0.113.9",
];
const RANGES: [&str; 7] = [
    "192.0.2.0/24",
    "192.0.2.128/25",
    "198.51.100.7",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "203.0.113.0/24",
    "::ffff:203.0.113.9",
];

/// Returns a random subset, with equal chances for each.
fn some<'c>(rng: &mut SeededRng, of: &[&'c str]) -> Vec<&'c str> {
    of.iter().filter(|_| rng.once_in(2)).copied().collect()
}

/// The data that requests are made of.
pub(super) struct World {
    keys: Vec<CreatedKey>,
    subaccounts: Vec<String>,
    /// The paths in the rules, as they are written.
    paths: Vec<String>,
}

/// A request as it is sent and as it is described.
#[derive(Debug)]
pub(super) struct TrialRequest {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// The headers, including the host and the client's address.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The body for `POST /v1/explain`.
    pub(super) question: Value,
}

impl World {
    /// Creates a world at the control plane, and waits until all slow changes have happened: some
    /// keys have expired, and some limits are used up.
    pub(super) async fn make(gateway: &Gateway, rng: &mut SeededRng) -> Self {
        time_in(Window::Day, 60).await;
        let control_plane = &gateway.control_plane;
        let mut subaccounts = Vec::new();
        for name in ["alpha", "beta", "gamma"] {
            subaccounts.push(control_plane.create_subaccount(name).await.unwrap());
        }
        let mut owners = Vec::new();
        for number in 0..OWNERS {
            let owner =
                json!({ "email": format!("owner-{number}@example.com"), "roles": ["admin"] });
            owners.push(control_plane.create_user(owner).await.unwrap());
        }
        let names: Vec<&str> = subaccounts.iter().map(String::as_str).collect();
        let mut keys = Vec::new();
        for number in 0..KEYS {
            let key = random_key(rng, number, &names);
            keys.push(
                control_plane
                    .create_key_of(rng.pick(&owners), key)
                    .await
                    .unwrap(),
            );
        }
        let world = Self {
            keys,
            subaccounts,
            paths: Vec::new(),
        };
        world.wear_out(gateway).await;
        world.narrow(gateway, rng, &owners).await;
        world.put_rules(gateway, rng).await
    }

    /// Uses up the limits of every sixth key, lets others expire, disables and revokes.
    async fn wear_out(&self, gateway: &Gateway) {
        let control_plane = &gateway.control_plane;
        let mut soon = now();
        for (number, key) in self.keys.iter().enumerate() {
            let path = format!("/v1/keys/{}", key.key_id);
            let change = match number % 12 {
                0 | 6 => {
                    self.use_up(gateway, key).await;
                    continue;
                }
                1 => {
                    soon = now() + 2;
                    json!({ "expires_at": soon })
                }
                2 => json!({ "active": false }),
                _ => continue,
            };
            control_plane
                .change(Method::PATCH, &path, change)
                .await
                .unwrap();
        }
        for key in [&self.keys[3], &self.keys[9]] {
            control_plane.revoke(&key.key_id).await.unwrap();
        }
        reaches(soon).await;
    }

    /// Uses up the key's limit if it may be used from anywhere, and waits until the control plane
    /// knows.
    async fn use_up(&self, gateway: &Gateway, key: &CreatedKey) {
        let path = format!("/v1/keys/{}", key.key_id);
        let once = json!({ "limits": { "day": 1 } });
        gateway
            .control_plane
            .change(Method::PATCH, &path, once)
            .await
            .unwrap();
        for address in ADDRESSES {
            let headers = [
                ("x-api-key", key.api_key.as_str()),
                ("x-forwarded-for", address),
            ];
            if gateway.ask_with("/", &headers).await.status == 200 {
                return used_today(gateway, &key.key_id, 1).await;
            }
        }
    }

    /// Reduces each owner's permissions after their keys were created.
    async fn narrow(&self, gateway: &Gateway, rng: &mut SeededRng, owners: &[User]) {
        for (number, owner) in owners.iter().enumerate() {
            let subaccounts = if rng.once_in(2) {
                json!("all")
            } else {
                json!([rng.pick(&self.subaccounts)])
            };
            let change = json!({
                "roles": some(rng, &ROLES[2..]), "permissions": some(rng, &PATTERNS[1..]),
                "subaccounts": subaccounts, "disabled": number == 0,
            });
            let path = format!("/v1/users/{}", owner.user_id);
            gateway
                .control_plane
                .change(Method::PATCH, &path, change)
                .await
                .unwrap();
        }
    }

    async fn put_rules(mut self, gateway: &Gateway, rng: &mut SeededRng) -> Self {
        let (mut rules, mut seen) = (Vec::new(), BTreeSet::new());
        while rules.len() < RULES {
            let rule = random_rule(rng);
            // A rule for the same requests as an earlier one is refused.
            if seen.insert(json!([rule["host"], rule["methods"], rule["path"]]).to_string()) {
                let path = rule["path"].as_object().unwrap().values().next().unwrap();
                self.paths.push(path.as_str().unwrap().to_owned());
                rules.push(rule);
            }
        }
        gateway
            .control_plane
            .put_routes(json!({ "rules": rules, "unmatched": "deny" }))
            .await
            .unwrap();
        self
    }

    /// Returns a random request that is related to the rules.
    pub(super) fn request(&self, rng: &mut SeededRng) -> TrialRequest {
        let subaccount = |rng: &mut SeededRng| match rng.below(4) {
            0 => "sub_000000000000".to_owned(),
            _ => rng.pick(&self.subaccounts).clone(),
        };
        let mut path = rng.pick(&self.paths).clone();
        while let Some((before, behind)) = path.split_once("{p}") {
            path = format!("{before}{}{behind}", subaccount(rng));
        }
        if rng.once_in(3) {
            path = format!("{}/{}", path.trim_end_matches('/'), rng.pick(&SEGMENTS));
        }
        path = respelled(rng, path);
        match rng.below(6) {
            0 => path = format!("{path}?a=b&sub={}", subaccount(rng)),
            1 => path = format!("{path}?sub={}", subaccount(rng)),
            2 => {
                path = format!("{path}?sub={}&sub={}", subaccount(rng), subaccount(rng));
            }
            _ => {}
        }
        let method = *rng.pick(&METHODS);
        let (host, address) = (*rng.pick(&HOSTS), *rng.pick(&ADDRESSES));
        let mut said = Vec::new();
        match rng.below(4) {
            0 => {}
            1 => said.push((
                "x-subaccount",
                format!("{}, {}", subaccount(rng), subaccount(rng)),
            )),
            _ => said.push(("x-subaccount", subaccount(rng))),
        }
        let (mut key_id, key) = (Value::Null, rng.pick(&self.keys));
        let bearer = format!("Bearer {}", key.api_key);
        let credential = match rng.below(24) {
            0 => None,
            1 => Some(("x-api-key", "lk_live_nonsense".to_owned())),
            2 => Some(("x-api-key", unknown_key())),
            3 => Some(("x-api-key", format!("{},{}", key.api_key, unknown_key()))),
            4..=9 => Some(("authorization", bearer)),
            10..=14 => {
                key_id = key.key_id.as_str().into();
                Some(("x-api-key", key.api_key.clone()))
            }
            _ => Some(("x-api-key", key.api_key.clone())),
        };
        if key_id.is_null() {
            said.extend(credential.clone());
        }
        let described: Value = said
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let mut question = json!({ "request": {
            "method": method, "host": host, "path": path, "headers": described, "source_address": address,
        } });
        if !key_id.is_null() {
            question["key_id"] = key_id;
            said.extend(credential);
        }
        said.extend([
            ("host", host.to_owned()),
            ("x-forwarded-for", address.to_owned()),
        ]);
        TrialRequest {
            method,
            path,
            headers: said,
            question,
        }
    }
}

fn random_key(rng: &mut SeededRng, number: usize, subaccounts: &[&str]) -> Value {
    let mut key = json!({
        "name": format!("key {number}"), "limits": { "minute": u32::MAX },
        "roles": some(rng, &ROLES[1..]), "permissions": some(rng, &PATTERNS[3..]),
        "allowed_subaccounts": [], "scope": "all",
    });
    if rng.once_in(2) {
        key["allowed_subaccounts"] = some(rng, subaccounts).into();
    }
    if rng.once_in(2) {
        let mut services = some(rng, &SERVICES);
        services.push("ai");
        key["scope"] = services.into();
    }
    for list in ["allowed_ips", "denied_ips"] {
        if rng.once_in(3) {
            let ranges = some(rng, &RANGES).into_iter();
            key[list] = ranges
                .map(|range| json!({ "cidr": range, "enabled": !rng.once_in(4) }))
                .collect();
        }
    }
    key
}

fn random_rule(rng: &mut SeededRng) -> Value {
    let mut segments: Vec<&str> = (0..=rng.below(3)).map(|_| *rng.pick(&SEGMENTS)).collect();
    let mut rule = json!({});
    let kind = *rng.pick(&["exact", "prefix", "template"]);
    if kind == "template" {
        let at = rng.below(segments.len());
        segments[at] = "{p}";
    }
    rule["path"] = json!({ kind: format!("/{}", segments.join("/")) });
    if rng.once_in(3) {
        rule["host"] = (*rng.pick(&RULE_HOSTS)).into();
    }
    if rng.once_in(3) {
        rule["methods"] = json!([rng.pick(&METHODS)]);
    }
    if rng.once_in(6) {
        rule["public"] = true.into();
        return rule;
    }
    if rng.once_in(2) {
        rule["service"] = (*rng.pick(&SERVICES)).into();
    }
    if rng.once_in(2) {
        rule["permission"] = (*rng.pick(&PERMISSIONS)).into();
    }
    match rng.below(3) {
        0 => rule["subaccount"] = json!({ "header": "x-subaccount" }),
        1 => rule["subaccount"] = json!({ "query": "sub" }),
        _ if kind == "template" => rule["subaccount"] = json!({ "path": "p" }),
        _ => {}
    }
    rule
}

/// Returns the same path, another one, or one with several readings.
fn respelled(rng: &mut SeededRng, path: String) -> String {
    match rng.below(16) {
        0 => format!("{path}/"),
        1 => path.replacen('z', "%7a", 1),
        2 => path.replacen("%C3", "%c3", 1),
        3 => format!("/{path}"),
        4 => format!("{path}/../v4"),
        5 => path.replacen('/', "/./", 1),
        6 => path.replacen("zones", "zones;x=1", 1),
        7 => path.replacen("s/", "s%2f", 1),
        8 => path.replacen('v', "%2576", 1),
        9 => path.to_uppercase(),
        _ => path,
    }
}
