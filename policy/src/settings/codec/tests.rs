//! The record of the settings: round trip, damage, possible additions of a later format.

use super::*;
use crate::record::{FORMAT, MIN_FORMAT, Records};
use crate::route::{PathCase, PathSpec, Rule, RuleSpec, SubaccountLocationSpec, Unmatched};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn record() -> SettingsRecord {
    let public = RuleSpec {
        host: None,
        methods: None,
        path: PathSpec::Exact("/health".into()),
        public: true,
        service: None,
        permission: None,
        subaccount: None,
    };
    let key = RuleSpec {
        host: Some("*.example.com".into()),
        methods: Some(vec!["POST".into(), "GET".into()]),
        path: PathSpec::Template("/caf%C3%A9/{zone}".into()),
        public: false,
        service: Some("dns".into()),
        permission: Some("dns:write".into()),
        subaccount: Some(SubaccountLocationSpec::Path("zone".into())),
    };
    let at = |place, path: &str| RuleSpec {
        subaccount: Some(place),
        path: PathSpec::Prefix(path.into()),
        ..RuleSpec {
            public: false,
            ..public.clone()
        }
    };
    let (header, query) = (
        SubaccountLocationSpec::Header("x-sub".into()),
        SubaccountLocationSpec::Query("sub".into()),
    );
    let longest = format!("/{}", "a".repeat(1023));
    let rules = [public.clone(), key, at(header, "/"), at(query, &longest)];
    let rules = rules.map(|rule| Rule::new(rule).unwrap()).into();
    RouteRules::new(rules, Unmatched::Deny).unwrap().into()
}

fn encoded(record: &SettingsRecord) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(FORMAT, &mut bytes).unwrap();
    bytes
}

/// Decodes a record with this body that is otherwise well-formed.
fn decode(body: &[&[u8]]) -> Result<SettingsRecord, Damaged> {
    let mut bytes = Vec::new();
    encode(Kind::Routes, &SettingsRecord::ID, body, &mut bytes).unwrap();
    SettingsRecord::decode(&bytes)
}

#[test]
fn rules_survive_the_round_trip() {
    let ended = || record().with_ended_owners(vec!["usr_2".into(), "acc_1".into(), "usr_2".into()]);
    let imported = SettingsRecord {
        imported: true,
        ..record()
    };
    for record in [record(), SettingsRecord::default(), imported, ended()] {
        let bytes = encoded(&record);
        assert_eq!(SettingsRecord::decode(&bytes), Ok(record));
        let split: Vec<_> = Records::new(Kind::Routes, &bytes).collect();
        assert_eq!(split, [Ok((&SettingsRecord::ID[..], &bytes[..]))]);
    }
}

#[test]
fn format_3_omits_path_case() {
    for path_case in [PathCase::Refuse, PathCase::Ignore, PathCase::Distinct] {
        let rules = record().routes.rules().to_vec();
        let with = |path_case| SettingsRecord {
            routes: RouteRules::with_path_case(path_case, rules.clone(), Unmatched::Deny).unwrap(),
            imported: true,
            ..SettingsRecord::default()
        };
        for (format, expected) in [(MIN_FORMAT, PathCase::Distinct), (FORMAT, path_case)] {
            let mut bytes = Vec::new();
            with(path_case).encode(format, &mut bytes).unwrap();
            assert_eq!(
                SettingsRecord::decode(&bytes),
                Ok(with(expected)),
                "format {format}"
            );
        }
    }
}

#[test]
fn every_truncation_and_flip_is_noticed() {
    let mut bytes = encoded(&record());
    for end in 0..bytes.len() {
        assert_eq!(SettingsRecord::decode(&bytes[..end]), Err(Damaged));
    }
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(SettingsRecord::decode(&bytes), Err(Damaged), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// `GET /a`, in a document of one rule.
const RULE: [&[u8]; 5] = [
    b"\x04\x01\0\0\0",
    b"\0\0\x01\0\0\0\x03GET",
    b"\0\x02\0/a",
    b"\0\0",
    b"\0",
];

#[test]
fn layout_matches_the_documentation() {
    let record = decode(&RULE).unwrap();
    let [rule] = record.routes.rules() else {
        panic!("{record:?}")
    };
    assert_eq!(rule.spec().methods, Some(vec!["GET".to_owned()]));
    assert_eq!(rule.spec().path, PathSpec::Exact("/a".into()));
    let mut bytes = Vec::new();
    encode(Kind::Routes, &SettingsRecord::ID, &RULE, &mut bytes).unwrap();
    assert_eq!(encoded(&record), bytes);
}

#[test]
fn undefined_value_is_damage() {
    let [head, rule, path, names, place] = RULE;
    for (what, body) in [
        (
            "an unknown flag",
            [b"\x10\x01\0\0\0", rule, path, names, place],
        ),
        (
            "two kinds of path_case",
            [b"\x0c\x01\0\0\0", rule, path, names, place],
        ),
        (
            "an unknown flag of a rule",
            [head, b"\x02\0\0\0\0\0", path, names, place],
        ),
        (
            "an unknown kind of path",
            [head, rule, b"\x03\x02\0/a", names, place],
        ),
        ("an unknown place", [head, rule, path, names, b"\x04\x01a"]),
        (
            "something behind the rest",
            [head, rule, path, names, b"\0\0"],
        ),
        (
            "fewer rules than are counted",
            [b"\0\xff\xff\xff\xff", rule, path, names, place],
        ),
        (
            "more rules than are counted",
            [b"\0\0\0\0\0", rule, path, names, place],
        ),
        (
            "fewer methods than are counted",
            [head, b"\0\0\xff\xff\xff\xff\x03GET", path, names, place],
        ),
        (
            "an ambiguous path",
            [head, rule, b"\0\x02\0//", names, place],
        ),
        (
            "an invalid host",
            [head, b"\0\x01*\0\0\0\0", path, names, place],
        ),
        (
            "an invalid permission",
            [head, rule, path, b"\0\x01a", place],
        ),
        (
            "a public rule with a service",
            [head, b"\x01\0\0\0\0\0", path, b"\x03dns\0", place],
        ),
        (
            "a place without a name",
            [head, rule, path, names, b"\x01\0"],
        ),
        (
            "a parameter that the path has not",
            [head, rule, path, names, b"\x02\x01a"],
        ),
    ] {
        assert_eq!(decode(&body), Err(Damaged), "{what}");
    }
    let twice = [
        &b"\0\x02\0\0\0"[..],
        &RULE[1..].concat(),
        &RULE[1..].concat(),
    ];
    assert_eq!(decode(&twice), Err(Damaged), "a rule that is never reached");
    let mut other = Vec::new();
    encode(Kind::Routes, &[1; 8], &RULE, &mut other).unwrap();
    assert_eq!(
        SettingsRecord::decode(&other),
        Err(Damaged),
        "another identifier"
    );
}

#[test]
fn format_4_encodes_ended_owners() {
    let ended = SettingsRecord::default().with_ended_owners(vec![
        "usr_2".into(),
        "acc_1".into(),
        "usr_2".into(),
    ]);
    assert_eq!(ended.ended_owners(), ["acc_1", "usr_2"]);
    let mut before = Vec::new();
    ended.encode(MIN_FORMAT, &mut before).unwrap();
    let read = SettingsRecord::decode(&before).unwrap();
    assert_eq!(read.ended_owners(), [""; 0]);

    let no_rules = 0_u32.to_le_bytes();
    let list = |ids: &[&str]| {
        let mut list = Vec::new();
        put_texts("ended owners", ids.iter(), &mut list).unwrap();
        list
    };
    let distinct =
        RouteRules::with_path_case(PathCase::Distinct, Vec::new(), Unmatched::ValidKey).unwrap();
    let decoded = |ids: &[&str]| decode(&[&[ENDED_OWNERS], &no_rules, &list(ids)]);
    assert_eq!(
        decoded(&["acc_1", "usr_2"]),
        Ok(SettingsRecord::from(distinct).with_ended_owners(vec!["acc_1".into(), "usr_2".into()]))
    );
    for damaged in [&[][..], &["usr_2", "acc_1"], &["acc_1", "acc_1"]] {
        assert_eq!(decoded(damaged), Err(Damaged), "{damaged:?}");
    }
}
