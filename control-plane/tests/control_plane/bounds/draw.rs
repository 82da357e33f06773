//! Draws keys with random attributes, and requests that distinguish them.

use super::evaluator::TrialRequest;
use crate::harness::START;
use latchkey_policy::limit::Window;
use serde_json::{Map, Value, json};

pub(super) const TIERS: [&str; 4] = ["free", "basic", "pro", "enterprise"];

/// All attributes that are drawn.
pub(super) const FIELDS: [&str; 9] = [
    "environment",
    "tier",
    "limits",
    "scope",
    "permissions",
    "allowed_subaccounts",
    "expires_at",
    "allowed_ips",
    "denied_ips",
];

/// The attributes that an edit can change.
pub(super) const EDITABLE: [&str; 4] = ["limits", "expires_at", "allowed_ips", "denied_ips"];

const RANGES: [&str; 9] = [
    "127.0.0.0/8",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "::ffff:10.2.0.0/112",
    "2001:db8::/32",
    "2001:db8:1::/48",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/7",
];

/// One address of each set that the ranges distinguish, and an unknown one.
pub(super) const SOURCES: [Option<&str>; 10] = [
    Some("127.0.0.1"),
    Some("10.0.0.1"),
    Some("10.1.0.1"),
    Some("10.2.0.1"),
    Some("11.0.0.1"),
    Some("192.0.2.1"),
    Some("2001:db8::1"),
    Some("2001:db8:1::1"),
    Some("2001:db9::1"),
    None,
];

const REQUESTS: [u32; 4] = [3, 50, 100, 2_000];

/// Changes of the tiers' limits, in the order of the tiers: lower, for other windows, and in
/// another order.
const TIER_LIMITS: [[&str; 4]; 3] = [
    [
        r#"{"minute": 3}"#,
        r#"{"minute": 50, "hour": 100}"#,
        r#"{"minute": 100, "day": 50}"#,
        r#"{"minute": 2000}"#,
    ],
    [
        "{}",
        r#"{"minute": 10000}"#,
        r#"{"minute": 100, "hour": 50}"#,
        r#"{"minute": 50, "month": 3}"#,
    ],
    [
        r#"{"minute": 10000}"#,
        r#"{"hour": 3}"#,
        r#"{"minute": 3, "month": 2000}"#,
        r#"{"minute": 10}"#,
    ],
];

/// Returns the bodies that change the tiers.
pub(super) fn tables() -> [Value; 3] {
    let tier = |(name, limits): (&str, &str)| json!({"name": name, "limits": serde_json::from_str::<Value>(limits).unwrap()});
    TIER_LIMITS
        .map(|limits| json!({"tiers": TIERS.into_iter().zip(limits).map(tier).collect::<Vec<_>>()}))
}

/// The seconds after the start at which keys expire.
const ENDS: [i64; 3] = [3_600, 86_400, 30 * 86_400];

/// A repeatable random number generator (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// Draws a value of a field.
    pub(super) fn value(&mut self, field: &str, subaccounts: &[String; 2]) -> Value {
        let [dev, prod] = subaccounts;
        match field {
            "environment" => json!(self.pick(&["live", "test"])),
            "tier" => json!(self.pick(&TIERS)),
            "limits" => {
                let windows = Window::ALL
                    .into_iter()
                    .filter(|_| self.one_in(2))
                    .collect::<Vec<_>>();
                windows
                    .iter()
                    .map(|window| (window.as_str().to_owned(), json!(self.pick(&REQUESTS))))
                    .collect()
            }
            "scope" => self
                .pick(&[
                    json!("all"),
                    json!(["latchkey"]),
                    json!(["latchkey", "dns"]),
                    json!(["cdn", "latchkey"]),
                ])
                .clone(),
            "permissions" => {
                let own = ["dns:write", "cdn:read"]
                    .into_iter()
                    .filter(|_| !self.one_in(3));
                json!(own.chain(["account:apikeys:*"]).collect::<Vec<_>>())
            }
            "allowed_subaccounts" => self
                .pick(&[
                    json!([]),
                    json!([]),
                    json!([dev]),
                    json!([prod]),
                    json!([dev, prod]),
                ])
                .clone(),
            "expires_at" => {
                let ends = [
                    Value::Null,
                    json!(START + ENDS[0]),
                    json!(START + ENDS[1]),
                    json!(START + ENDS[2]),
                ];
                self.pick(&ends).clone()
            }
            "allowed_ips" | "denied_ips" => {
                let ranges = (0..self.below(3))
                    .map(|_| (*self.pick(&RANGES), !self.one_in(5)))
                    .collect::<Vec<_>>();
                let trunc =
                    |range: &str| range.parse::<ipnet::IpNet>().unwrap().trunc().to_string();
                let entry =
                    |(range, on): &(&str, bool)| json!({"cidr": trunc(range), "enabled": on});
                json!(ranges.iter().map(entry).collect::<Vec<_>>())
            }
            field => panic!("{field} is not known"),
        }
    }

    /// Draws a value of a field for an edit, which can also remove limits of windows.
    pub(super) fn edited(&mut self, field: &str, subaccounts: &[String; 2]) -> Value {
        match field {
            "limits" if self.one_in(8) => Value::Null,
            "limits" => {
                let mut limits = self.value(field, subaccounts);
                for window in Window::ALL {
                    if self.one_in(4) {
                        limits[window.as_str()] = Value::Null;
                    }
                }
                limits
            }
            field => self.value(field, subaccounts),
        }
    }

    /// Draws a key.
    pub(super) fn key(&mut self, subaccounts: &[String; 2]) -> Map<String, Value> {
        // Half of the keys have no lists, so that many keys differ only in other attributes.
        let listless = self.one_in(2);
        let value = |field: &&str| {
            let value = self.value(field, subaccounts);
            let none = listless && field.ends_with("_ips");
            ((*field).to_owned(), if none { json!([]) } else { value })
        };
        FIELDS.iter().map(value).collect()
    }

    /// Returns `key` with new values of a few fields.
    pub(super) fn changed(
        &mut self,
        key: &Map<String, Value>,
        fields: &[&str],
        subaccounts: &[String; 2],
    ) -> Map<String, Value> {
        let mut changed = key.clone();
        for _ in 0..self.below(4) {
            let field = *self.pick(fields);
            if field == "limits" && self.one_in(2) {
                let (window, limit) = (*self.pick(&Window::ALL), *self.pick(&REQUESTS));
                changed["limits"][window.as_str()] = json!(limit);
            } else {
                changed.insert(field.to_owned(), self.value(field, subaccounts));
            }
        }
        changed
    }
}

/// Returns the route rules of the test.
pub(super) fn rules() -> Value {
    json!({"unmatched": "valid_key", "rules": [
        {"path": {"exact": "/service/dns"}, "service": "dns"},
        {"path": {"exact": "/service/cdn"}, "service": "cdn"},
        {"path": {"exact": "/permission/dns"}, "permission": "dns:write"},
        {"path": {"exact": "/permission/cdn"}, "permission": "cdn:read"},
        {"path": {"exact": "/subaccount"}, "subaccount": {"header": "x-subaccount"}},
    ]})
}

/// Returns requests that distinguish all keys that can be drawn.
pub(super) fn universe(subaccounts: &[String; 2]) -> Vec<TrialRequest> {
    let mut universe = Vec::new();
    let targets = [
        ("/service/dns", None),
        ("/service/cdn", None),
        ("/permission/dns", None),
        ("/permission/cdn", None),
        ("/other", None),
        ("/subaccount", None),
        ("/subaccount", Some(subaccounts[0].clone())),
        ("/subaccount", Some(subaccounts[1].clone())),
    ];
    let times: Vec<_> = [START]
        .into_iter()
        .chain(ENDS.iter().flat_map(|end| [START + end - 1, START + end]))
        .collect();
    for source in SOURCES {
        let source = source.map(|source| source.parse().unwrap());
        let trial = |path, subaccount, now, used| TrialRequest {
            path,
            subaccount,
            source,
            now,
            used,
        };
        for (path, subaccount) in &targets {
            universe.extend(
                times
                    .iter()
                    .map(|now| trial(*path, subaccount.clone(), *now, (Window::Minute, 0))),
            );
        }
        for window in Window::ALL {
            let used = REQUESTS.into_iter().chain([10, 1_000, 10_000, 4_000_000]);
            universe.extend(used.map(|used| trial("/other", None, START, (window, used))));
        }
    }
    universe
}

/// Fills in the omitted fields of `body`: with those of `own`, and limits for all windows.
pub(super) fn fill_in(body: &mut Map<String, Value>, own: &Map<String, Value>) {
    let none = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    for fields in [
        &["expires_at"][..],
        &["allowed_subaccounts"],
        &["allowed_ips", "denied_ips"],
    ] {
        if fields.iter().all(|field| none(&body[*field])) {
            fields
                .iter()
                .for_each(|field| body[*field] = own[*field].clone());
        }
    }
    for (window, limit) in [("minute", 10), ("hour", 50), ("day", 100), ("month", 2_000)] {
        let limits = body["limits"].as_object_mut().unwrap();
        limits
            .entry(window)
            .or_insert_with(|| own["limits"].get(window).cloned().unwrap_or(json!(limit)));
    }
}
