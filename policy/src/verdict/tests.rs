//! The contract's rows in their order, with rules and policies made for this test.

use super::*;
use crate::address::AddressLists;
use crate::credential::Presented;
use crate::key::{Environment, KeyDigest};
use crate::limit::{Limits, Window};
use crate::meter::{Meter, Owner};
use crate::permission::Pattern;
use crate::policy::Policy;
use crate::record::{KeyRecord, PolicyRecord};
use crate::route::{PathSpec, RouteRules, Rule, RuleSpec, SubaccountLocationSpec};
use crate::settings::{SettingsRecord, SnapshotSettings};
use crate::test_util;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: i64 = 1_000_000;

/// A request that records which of its parts were read.
#[derive(Default)]
struct Asking {
    key: Option<Vec<u8>>,
    second_key: Option<Vec<u8>>,
    more_keys: Vec<Vec<u8>>,
    source: Option<&'static str>,
    path: &'static str,
    subaccount: Option<&'static str>,
    asked: RefCell<Vec<&'static str>>,
}

impl Asking {
    fn note(&self, what: &'static str) {
        self.asked.borrow_mut().push(what);
    }
}

impl Request for Asking {
    fn credential(&self) -> Credential<'_> {
        let keys = self
            .key
            .iter()
            .chain(&self.second_key)
            .chain(&self.more_keys);
        Credential::Presented(Presented::from_candidates(
            keys.map(|key| key.as_slice().into()),
        ))
    }

    fn source_address(&self) -> Option<IpAddr> {
        self.note("source");
        self.source.map(|source| source.parse().unwrap())
    }

    fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Unavailable> {
        let (what, value) = match name {
            ":authority" => ("host", Some("api.example.com")),
            ":method" => ("method", Some("GET")),
            ":path" => ("path", Some(self.path)),
            "x-subaccount" => ("subaccount", self.subaccount),
            other => panic!("asked for {other}"),
        };
        self.note(what);
        Ok(value.map(|value| value.as_bytes().into()))
    }
}

/// One key, its policy, and the other data to decide by.
struct World {
    snapshot: SettingsRecord,
    policy: PolicyRecord,
    /// The key.
    secret: Vec<u8>,
    looked_up: Cell<usize>,
    disabled: bool,
    expires_at: Option<i64>,
    stale: bool,
    meter: RefCell<Meter>,
    shadow: Vec<Code>,
}

fn a_key() -> Vec<u8> {
    let secret = KeyFormat::default().generate(Environment::Live, |bytes| {
        bytes.fill(7);
        Ok::<_, ()>(())
    });
    secret.unwrap().expose().as_bytes().to_vec()
}

fn rule(path: PathSpec, change: impl FnOnce(&mut RuleSpec)) -> Rule {
    let mut spec = RuleSpec {
        host: None,
        methods: None,
        path,
        public: false,
        service: None,
        permission: None,
        subaccount: None,
    };
    change(&mut spec);
    Rule::new(spec).unwrap()
}

impl World {
    fn new() -> Self {
        let zones = rule(PathSpec::Prefix("/zones".to_owned()), |rule| {
            rule.service = Some("dns".to_owned());
            rule.permission = Some("dns:read".to_owned());
            rule.subaccount = Some(SubaccountLocationSpec::Header("x-subaccount".to_owned()));
        });
        let health = rule(PathSpec::Exact("/health".to_owned()), |rule| {
            rule.public = true;
        });
        let all = vec![Pattern::parse("*").unwrap()];
        Self {
            snapshot: RouteRules::new(vec![health, zones], Unmatched::ValidKey)
                .unwrap()
                .into(),
            policy: PolicyRecord {
                grants: all.clone(),
                owner_grants: all,
                ..test_util::policy(1)
            },
            secret: a_key(),
            looked_up: Cell::new(0),
            disabled: false,
            expires_at: None,
            stale: false,
            meter: RefCell::new(Meter::new(Owner {
                epoch: [0; 4],
                key: 1,
            })),
            shadow: Vec::new(),
        }
    }

    fn decide(&self, request: &Asking) -> Verdict {
        let keys = KeyFormat::default();
        let settings = Settings {
            keys: &keys,
            shadow: &self.shadow,
        };
        decide(self, request, settings, &mut NoTrace).unwrap_or(Verdict::NOT_READY)
    }

    /// Returns a request without any fault.
    fn asking() -> Asking {
        Asking {
            key: Some(a_key()),
            path: "/zones",
            source: Some("10.0.0.1"),
            ..Asking::default()
        }
    }

    fn code(&self) -> Code {
        self.decide(&Self::asking()).code
    }
}

impl Source for World {
    fn settings(&self) -> Result<Rc<SnapshotSettings>, Unavailable> {
        Ok(Rc::new(SnapshotSettings::compile(&self.snapshot)))
    }

    fn check_staleness(&self) -> Result<(), Unavailable> {
        if self.stale {
            Err(Unavailable::Stale)
        } else {
            Ok(())
        }
    }

    fn find(&self, digest: &KeyDigest) -> Result<Option<Rc<CachedKey>>, Unavailable> {
        self.looked_up.set(self.looked_up.get() + 1);
        if *digest != KeyDigest::of(&self.secret) {
            return Ok(None);
        }
        let key = test_util::key(*digest, 1, "CI");
        let key = KeyRecord {
            disabled: self.disabled,
            expires_at: self.expires_at,
            ..key
        };
        Ok(CachedKey::from_live_record(
            &key,
            Rc::new(Policy::compile(&self.policy, &*self.settings()?)),
        )
        .map(Rc::new))
    }

    fn now(&self) -> Result<i64, Unavailable> {
        Ok(NOW)
    }

    fn admit(
        &self,
        _: &KeyRecord<'_>,
        limits: &Limits,
        enforced: bool,
        now: i64,
    ) -> Result<Option<Quota>, Unavailable> {
        assert_eq!(enforced, !self.shadow.contains(&Code::RateLimited));
        Ok(Some(self.meter.borrow_mut().admit(limits, now)))
    }
}

/// A change that makes one check refuse.
type Break = fn(&mut World, &mut Asking);

/// Every row that refuses, in the contract's order.
const ROWS: [(Code, Break); 12] = [
    (Code::NotReady, |world, _| world.stale = true),
    (Code::MissingKey, |_, request| {
        (request.key, request.second_key) = (None, None);
    }),
    (Code::AmbiguousKey, |_, request| {
        request.second_key = Some(b"lk_live_another".to_vec());
    }),
    (Code::MalformedKey, |_, request| {
        request.key = Some(b"lk_live_short".to_vec());
    }),
    (Code::InvalidKey, |_, request| {
        let secret = KeyFormat::default().generate(Environment::Test, |bytes| {
            bytes.fill(9);
            Ok::<_, ()>(())
        });
        request.key = Some(secret.unwrap().expose().as_bytes().to_vec());
    }),
    (Code::DisabledKey, |world, _| world.disabled = true),
    (Code::ExpiredKey, |world, _| world.expires_at = Some(NOW)),
    (Code::IpDenied, |world, _| {
        world.policy.addresses = AddressLists {
            allow: vec!["192.0.2.0/24".parse().unwrap()],
            deny: Vec::new(),
        };
    }),
    (Code::OutOfScope, |world, _| {
        world.policy.services = Some(vec!["cdn".to_owned()]);
    }),
    (Code::MissingPermission, |world, _| {
        world.policy.grants.clear();
    }),
    (Code::SubaccountDenied, |_, request| {
        request.subaccount = Some("sub_other");
    }),
    (Code::RateLimited, |world, _| {
        world.policy.limits = Limits::default().with(Window::Day, Some(1));
        world.meter.borrow_mut().admit(&Limits::default(), NOW);
    }),
];

#[test]
fn each_check_precedes_the_later_ones() {
    for (at, (code, breaks)) in ROWS.into_iter().enumerate() {
        for (later, also) in &ROWS[at..] {
            let (mut world, mut request) = (World::new(), World::asking());
            also(&mut world, &mut request);
            breaks(&mut world, &mut request);
            assert_eq!(world.decide(&request).code, code, "with {later:?}");
        }
    }
    assert_eq!(World::new().code(), Code::Allowed);
}

#[test]
fn public_route_passes_before_any_check() {
    for (_, breaks) in ROWS {
        let (mut world, mut request) = (World::new(), World::asking());
        breaks(&mut world, &mut request);
        request.path = "/health?from=probe";
        let verdict = world.decide(&request);
        assert_eq!(verdict.code, Code::Public);
        assert!(
            verdict.entry.is_none() && verdict.quota.is_none(),
            "nobody is identified, nothing is counted"
        );
    }
}

/// Nothing is looked up while no key is imported.
#[test]
fn imported_keys_of_any_form_pass() {
    let foreign = b"sk-proj-8".to_vec();
    for (imported, exists, presented, code, look_ups) in [
        (true, true, &foreign, Code::Allowed, 1),
        (true, false, &foreign, Code::MalformedKey, 1),
        (true, true, &b"sk-proj".to_vec(), Code::MalformedKey, 0),
        (true, true, &b"sk-proj-\xff".to_vec(), Code::MalformedKey, 0),
        (true, true, &a_key()[1..].to_vec(), Code::MalformedKey, 1),
        (false, true, &foreign, Code::MalformedKey, 0),
        // A value of the right form is looked up in any case.
        (true, false, &a_key(), Code::Allowed, 1),
        (true, true, &a_key(), Code::InvalidKey, 1),
    ] {
        let mut world = World::new();
        world.snapshot.imported = imported;
        if exists {
            world.secret = foreign.clone();
        }
        let verdict = world.decide(&Asking {
            key: Some(presented.clone()),
            ..World::asking()
        });
        let told = format!("{} {imported} {exists}", String::from_utf8_lossy(presented));
        assert_eq!(
            (verdict.code, world.looked_up.get()),
            (code, look_ups),
            "{told}"
        );
        assert_eq!(verdict.entry.is_some(), code == Code::Allowed, "{told}");
    }
}

/// Returns the code for a request with these values, and the number of look-ups.
fn presenting(world: &World, values: &[&[u8]]) -> (Code, usize) {
    world.looked_up.set(0);
    let [key, second_key] = [0, 1].map(|at| values.get(at).map(|value| value.to_vec()));
    let more = values.iter().skip(2).map(|value| value.to_vec()).collect();
    let verdict = world.decide(&Asking {
        key,
        second_key,
        more_keys: more,
        ..World::asking()
    });
    (verdict.code, world.looked_up.get())
}

#[test]
fn foreign_credential_beside_a_key_is_ignored() {
    let world = World::new();
    let key = a_key();
    for other in [
        &b"undefined"[..],
        b"eyJhbGciOiJIUzI1NiJ9.e30.sig",
        b"sk-proj-0123456789",
        b"lk",
        b"\xff",
        &key[1..],
    ] {
        for values in [[&*key, other], [other, &*key]] {
            assert_eq!(presenting(&world, &values), (Code::Allowed, 1), "{other:?}");
        }
        assert_eq!(presenting(&world, &[other]), (Code::MalformedKey, 0));
        assert_eq!(
            presenting(&world, &[other, b"null"]),
            (Code::MalformedKey, 0)
        );
        assert_eq!(
            presenting(&world, &[other, b"null", &*key, &*key, b"0"]),
            (Code::Allowed, 1)
        );
    }
    for two in [&b"lk_live_short"[..], b"lk_", b"Bearer lk_live_short"] {
        assert_eq!(
            presenting(&world, &[&*key, two]),
            (Code::AmbiguousKey, 0),
            "it is meant to be a key"
        );
        assert_eq!(
            presenting(&world, &[b"undefined", two]),
            (Code::MalformedKey, 0)
        );
    }
}

#[test]
fn key_behind_a_word_counts_once() {
    let world = World::new();
    let key = a_key();
    for word in [&b"Bearer "[..], b"token \t", b"APIKEY "] {
        let behind = [word, &*key].concat();
        for values in [[&*key, &behind], [&behind, &*key]] {
            assert_eq!(
                presenting(&world, &values),
                (Code::Allowed, 1),
                "{values:?}"
            );
        }
        let other = [word, b"lk_live_another"].concat();
        assert_eq!(
            presenting(&world, &[&behind, &*key, &other]),
            (Code::AmbiguousKey, 0)
        );
        assert_eq!(
            presenting(&world, &[&behind, b"Key lk_"]),
            (Code::AmbiguousKey, 0)
        );
        let twice = [b"Key ", &*key].concat();
        assert_eq!(
            presenting(&world, &[&behind, &twice]),
            (Code::MalformedKey, 0)
        );
    }
}

/// The key counts if it exists.
#[test]
fn imported_key_beside_foreign_credentials_counts() {
    let mut world = World::new();
    world.snapshot.imported = true;
    world.secret = b"sk-proj-8".to_vec();
    let imported = world.secret.clone();
    for (values, code, look_ups) in [
        (vec![&imported[..], b"another-token"], Code::Allowed, 3),
        (vec![&b"another-token"[..], &imported], Code::Allowed, 3),
        (vec![&imported, b"short"], Code::Allowed, 2),
        (
            vec![&b"another-token"[..], b"one-more-token"],
            Code::MalformedKey,
            2,
        ),
        (vec![&imported, b"lk_live_short"], Code::AmbiguousKey, 1),
        (
            vec![&b"another-token"[..], b"lk_live_short"],
            Code::MalformedKey,
            2,
        ),
    ] {
        assert_eq!(presenting(&world, &values), (code, look_ups), "{values:?}");
    }
    let tokens: Vec<_> = (0..17)
        .map(|at| format!("token-{at:04}").into_bytes())
        .collect();
    let tokens: Vec<_> = tokens.iter().map(Vec::as_slice).collect();
    assert_eq!(presenting(&world, &tokens[..16]), (Code::MalformedKey, 16));
    assert_eq!(presenting(&world, &tokens), (Code::AmbiguousKey, 0));
}

#[test]
fn word_before_a_key_is_reported() {
    let world = World::new();
    let value = [b"bearer ", &*a_key()].concat();
    let verdict = world.decide(&Asking {
        key: Some(value),
        ..World::asking()
    });
    assert_eq!(
        (verdict.code, verdict.word),
        (Code::MalformedKey, Some("Bearer"))
    );
    let body = verdict
        .code
        .refusal(None)
        .unwrap()
        .naming(verdict.word)
        .body;
    assert!(
        body.contains("send the key without the word Bearer before it."),
        "{body}"
    );
    let plain = Code::MalformedKey.refusal(None).unwrap();
    assert!(plain.body.contains("Was it copied whole?"));
    assert_eq!(plain.clone().naming(None).body, plain.body);
}

#[test]
fn imported_key_has_every_check() {
    let mut world = World::new();
    world.snapshot.imported = true;
    world.secret = b"0b5ec4a2-96a6-4a61".to_vec();
    let request = Asking {
        key: Some(world.secret.clone()),
        ..World::asking()
    };
    world.expires_at = Some(NOW);
    assert_eq!(world.decide(&request).code, Code::ExpiredKey);
    world.shadow = vec![Code::MalformedKey];
    assert_eq!(
        world.decide(&request).code,
        Code::ExpiredKey,
        "it is not malformed"
    );
    let unknown = Asking {
        key: Some(b"0b5ec4a2-96a6-4a62".to_vec()),
        ..World::asking()
    };
    let verdict = world.decide(&unknown);
    assert_eq!(
        (verdict.code, verdict.shadowed),
        (Code::Allowed, Some(Code::MalformedKey))
    );
    let two = Asking {
        second_key: Some(a_key()),
        ..request
    };
    assert_eq!(world.decide(&two).code, Code::AmbiguousKey);
}

#[test]
fn ended_owners_keys_are_revoked() {
    let mut world = World::new();
    for ended in [&["usr_1"][..], &["acc_1"], &["acc_0", "usr_1", "usr_9"]] {
        world.snapshot = world
            .snapshot
            .with_ended_owners(ended.iter().map(ToString::to_string).collect());
        let verdict = world.decide(&World::asking());
        assert_eq!(
            (verdict.code, verdict.entry.is_none()),
            (Code::InvalidKey, true),
            "{ended:?}"
        );
    }
    world.snapshot = world
        .snapshot
        .with_ended_owners(vec!["acc_2".into(), "usr_2".into()]);
    assert_eq!(world.code(), Code::Allowed);
    // After an imported key is revoked, its value no longer counts beside a key of ours.
    world.snapshot.imported = true;
    world.snapshot = world.snapshot.with_ended_owners(vec!["usr_1".into()]);
    world.secret = b"0b5ec4a2-96a6-4a61".to_vec();
    let imported = Asking {
        key: Some(world.secret.clone()),
        ..World::asking()
    };
    assert_eq!(world.decide(&imported).code, Code::MalformedKey);
    let two = Asking {
        second_key: Some(a_key()),
        ..imported
    };
    assert_eq!(world.decide(&two).code, Code::InvalidKey);
}

#[test]
fn key_owner_or_account_can_disable() {
    let mut world = World::new();
    world.policy.owner_disabled = true;
    assert_eq!(world.code(), Code::DisabledKey);
    world.policy = PolicyRecord {
        account_disabled: true,
        ..test_util::policy(1)
    };
    assert_eq!(world.code(), Code::DisabledKey);
}

#[test]
fn key_expires_at_the_second() {
    let mut world = World::new();
    for (expires_at, code) in [
        (NOW + 1, Code::Allowed),
        (NOW, Code::ExpiredKey),
        (NOW - 1, Code::ExpiredKey),
    ] {
        world.expires_at = Some(expires_at);
        assert_eq!(world.code(), code);
    }
}

#[test]
fn permission_needs_key_and_owner() {
    let dns = || vec![Pattern::parse("dns:*").unwrap()];
    let cdn = || vec![Pattern::parse("cdn:*").unwrap()];
    for (key, owner, code) in [
        (dns(), dns(), Code::Allowed),
        (dns(), cdn(), Code::MissingPermission),
        (cdn(), dns(), Code::MissingPermission),
        (dns(), Vec::new(), Code::MissingPermission),
    ] {
        let mut world = World::new();
        (world.policy.grants, world.policy.owner_grants) = (key, owner);
        assert_eq!(world.code(), code);
    }
}

#[test]
fn empty_scope_admits_nothing() {
    let mut world = World::new();
    world.policy.services = Some(Vec::new());
    assert_eq!(world.code(), Code::OutOfScope);
    world.policy.services = Some(vec!["cdn".to_owned(), "dns".to_owned()]);
    assert_eq!(world.code(), Code::Allowed);
}

#[test]
fn confined_key_must_name_its_subaccount() {
    for (named, confined, code) in [
        (Some("sub_1"), true, Code::Allowed),
        (Some("sub_1"), false, Code::Allowed),
        (Some("sub_3"), true, Code::SubaccountDenied),
        (Some("sub_3"), false, Code::SubaccountDenied),
        (Some("sub_1,sub_2"), false, Code::SubaccountDenied),
        (Some(""), false, Code::SubaccountDenied),
        (None, true, Code::SubaccountDenied),
        (None, false, Code::Allowed),
    ] {
        let mut world = World::new();
        world.policy.subaccounts = vec!["sub_2".to_owned(), "sub_1".to_owned()];
        world.policy.confined = confined;
        let verdict = world.decide(&Asking {
            subaccount: named,
            ..World::asking()
        });
        assert_eq!(verdict.code, code, "{named:?}, confined: {confined}");
        let entry = verdict.entry.unwrap();
        let subaccount = verdict
            .subaccount
            .and_then(|at| entry.policy.subaccount(at));
        assert_eq!(subaccount, named.filter(|_| code == Code::Allowed));
    }
}

#[test]
fn unmatched_request_needs_valid_key() {
    let mut world = World::new();
    (world.policy.services, world.policy.grants) = (Some(Vec::new()), Vec::new());
    let elsewhere = Asking {
        path: "/elsewhere",
        ..World::asking()
    };
    assert_eq!(world.decide(&elsewhere).code, Code::Allowed);
    world.snapshot.routes =
        RouteRules::new(world.snapshot.routes.rules().to_vec(), Unmatched::Deny).unwrap();
    assert_eq!(world.decide(&elsewhere).code, Code::OutOfScope);
    assert_eq!(
        world
            .decide(&Asking {
                key: None,
                ..elsewhere
            })
            .code,
        Code::MissingKey,
        "the key comes first"
    );
}

#[test]
fn ambiguous_path_is_out_of_scope() {
    for path in [
        "/zones/../health",
        "//health",
        "/health%2f",
        "/%2e/health",
        "*",
        "",
    ] {
        let request = Asking {
            path,
            ..World::asking()
        };
        assert_eq!(
            World::new().decide(&request).code,
            Code::OutOfScope,
            "{path}"
        );
    }
    let mut without_rules = World::new();
    without_rules.snapshot = SettingsRecord::default();
    assert_eq!(
        without_rules
            .decide(&Asking {
                path: "//",
                ..World::asking()
            })
            .code,
        Code::Allowed
    );
}

#[test]
fn only_needed_request_parts_are_read() {
    let mut world = World::new();
    world.snapshot = SettingsRecord::default();
    let request = World::asking();
    assert_eq!(world.decide(&request).code, Code::Allowed);
    assert_eq!(*request.asked.borrow(), [""; 0]);

    let request = World::asking();
    assert_eq!(World::new().decide(&request).code, Code::Allowed);
    assert_eq!(*request.asked.borrow(), ["path", "subaccount"]);

    let (mut world, request) = (World::new(), World::asking());
    world.policy.grants.clear();
    assert_eq!(world.decide(&request).code, Code::MissingPermission);
    assert_eq!(
        *request.asked.borrow(),
        ["path"],
        "the subaccount no longer matters"
    );
}

#[test]
fn shadowed_check_keeps_the_later_checks() {
    for (at, (code, breaks)) in ROWS.into_iter().enumerate().skip(5) {
        let (mut world, mut request) = (World::new(), World::asking());
        breaks(&mut world, &mut request);
        world.shadow = vec![code];
        let verdict = world.decide(&request);
        assert_eq!(
            (verdict.code, verdict.shadowed),
            (Code::Allowed, Some(code))
        );
        for (later, also) in &ROWS[at + 1..] {
            also(&mut world, &mut request);
            world.shadow = vec![code];
            let verdict = world.decide(&request);
            assert_eq!((verdict.code, verdict.shadowed), (*later, Some(code)));
            (world, request) = (World::new(), World::asking());
            breaks(&mut world, &mut request);
        }
    }
}

/// Without an existing key there is nothing left to check.
#[test]
fn shadowed_key_check_ends_the_verdict() {
    for (code, breaks) in &ROWS[1..5] {
        let (mut world, mut request) = (World::new(), World::asking());
        breaks(&mut world, &mut request);
        world.shadow = vec![*code];
        let verdict = world.decide(&request);
        assert_eq!(
            (verdict.code, verdict.shadowed),
            (Code::Allowed, Some(*code))
        );
        assert!(verdict.entry.is_none());
        // The checks that need no key are still made.
        world.snapshot.routes = RouteRules::new(Vec::new(), Unmatched::Deny).unwrap();
        let verdict = world.decide(&request);
        assert_eq!(
            (verdict.code, verdict.shadowed),
            (Code::OutOfScope, Some(*code))
        );
    }
}

#[test]
fn trace_ends_with_the_refusing_check() {
    struct Steps(Vec<(Code, bool)>);
    impl Trace for Steps {
        fn step(&mut self, code: Code, passed: bool, compared: impl FnOnce() -> String) {
            assert!(!compared().is_empty());
            self.0.push((code, passed));
        }
    }
    let mut world = World::new();
    world.policy.grants.clear();
    let (mut steps, keys) = (Steps(Vec::new()), KeyFormat::default());
    decide(
        &world,
        &World::asking(),
        Settings {
            keys: &keys,
            shadow: &[],
        },
        &mut steps,
    )
    .unwrap();
    let expected = Code::ALL[..11].iter().map(|code| {
        (
            *code,
            !matches!(code, Code::Public | Code::MissingPermission),
        )
    });
    assert_eq!(steps.0, expected.collect::<Vec<_>>());
}

#[test]
fn imported_keys_trace_has_both_checks() {
    struct Refusals(Vec<(Code, bool)>);
    impl Trace for Refusals {
        fn step(&mut self, code: Code, passed: bool, _: impl FnOnce() -> String) {
            self.0.extend(
                matches!(code, Code::MalformedKey | Code::InvalidKey).then_some((code, passed)),
            );
        }
    }
    let mut world = World::new();
    world.snapshot.imported = true;
    world.secret = b"sk-proj-8".to_vec();
    let keys = KeyFormat::default();
    for (key, steps) in [
        (
            "sk-proj-8",
            vec![(Code::MalformedKey, true), (Code::InvalidKey, true)],
        ),
        ("sk-proj-9", vec![(Code::MalformedKey, false)]),
    ] {
        let mut trace = Refusals(Vec::new());
        let request = Asking {
            key: Some(key.into()),
            ..World::asking()
        };
        decide(
            &world,
            &request,
            Settings {
                keys: &keys,
                shadow: &[],
            },
            &mut trace,
        )
        .unwrap();
        assert_eq!(trace.0, steps, "{key}");
    }
}

#[test]
fn trace_explains_an_ambiguous_path() {
    struct Last(String);
    impl Trace for Last {
        fn step(&mut self, _: Code, _: bool, compared: impl FnOnce() -> String) {
            self.0 = compared();
        }
    }
    let (mut last, keys) = (Last(String::new()), KeyFormat::default());
    let request = Asking {
        path: "/zones/../health",
        ..World::asking()
    };
    decide(
        &World::new(),
        &request,
        Settings {
            keys: &keys,
            shadow: &[],
        },
        &mut last,
    )
    .unwrap();
    let reason = "the path has a segment `.` or `..`, perhaps escaped, so no rule applies";
    assert_eq!(last.0, reason);
}
