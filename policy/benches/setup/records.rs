//! The data that the verdicts are decided by: a key, two policies, and route rules.

use ipnet::IpNet;
use latchkey_policy::address::AddressLists;
use latchkey_policy::key::{Environment, KeyFormat, PlainKey};
use latchkey_policy::limit::{Limits, Window};
use latchkey_policy::permission::Pattern;
use latchkey_policy::record::PolicyRecord;
use latchkey_policy::route::{PathSpec, RouteRules, Rule, RuleSpec, Unmatched};
use latchkey_policy::test_util::{self, Random};
use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};

pub(crate) const RULES: u16 = 50;
pub(crate) const ADDRESSES: u16 = 1000;

/// A limit above any measured number of requests in one window, so that every request is admitted.
const PLENTY: u32 = u32::MAX / 2;

/// Returns the same key at each call.
pub(crate) fn plain_key() -> PlainKey {
    let mut random = Random(1);
    let generated = KeyFormat::default().generate(Environment::Live, |bytes| {
        bytes
            .iter_mut()
            .for_each(|byte| *byte = random.number().to_le_bytes()[0]);
        Ok::<_, Infallible>(())
    });
    match generated {
        Ok(key) => key,
    }
}

/// Returns the policy of a key that only has its tier's limit.
pub(crate) fn plain_policy() -> PolicyRecord {
    PolicyRecord {
        limits: Limits::default().with(Window::Minute, Some(PLENTY)),
        ..test_util::policy(1)
    }
}

/// Returns the policy of a key with IP lists, a scope, roles, permissions and three limits.
pub(crate) fn full_policy() -> PolicyRecord {
    let patterns = |patterns: &[&str]| {
        patterns
            .iter()
            .map(|text| Pattern::parse(text).unwrap())
            .collect()
    };
    PolicyRecord {
        addresses: AddressLists {
            allow: ranges(),
            deny: Vec::new(),
        },
        services: Some((0..RULES).map(service).collect()),
        roles: vec!["dns_manager".into(), "insights_analyst".into()],
        grants: patterns(&["dns:*", "analytics:read", "*:read"]),
        owner_grants: patterns(&["*"]),
        limits: [Window::Hour, Window::Day]
            .into_iter()
            .fold(plain_policy().limits, |limits, window| {
                limits.with(window, Some(PLENTY))
            }),
        ..test_util::policy(1)
    }
}

/// Returns alternating IPv4 and IPv6 ranges, none of which touch.
fn ranges() -> Vec<IpNet> {
    let range = |number: u16| {
        let [high, low] = number.to_be_bytes();
        match number % 2 {
            0 => IpNet::new(Ipv4Addr::new(10, high, low, 0).into(), 24),
            _ => IpNet::new(
                Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0).into(),
                48,
            ),
        }
    };
    (0..ADDRESSES)
        .map(|number| range(number).unwrap())
        .collect()
}

/// Returns rules, each for another path, service and permission.
pub(crate) fn rules() -> RouteRules {
    let rule = |number| {
        Rule::new(RuleSpec {
            host: None,
            methods: Some(vec!["GET".into(), "HEAD".into()]),
            path: PathSpec::Template(format!("/v4/{}/zones/{{zone}}/records", service(number))),
            public: false,
            service: Some(service(number)),
            permission: Some(format!("{}:read", service(number))),
            subaccount: None,
        })
    };
    RouteRules::new(
        (0..RULES).map(|number| rule(number).unwrap()).collect(),
        Unmatched::Deny,
    )
    .unwrap()
}

fn service(number: u16) -> String {
    format!("service_{number}")
}
