//! Arbitrary input for the parsers: valid inputs that were changed, and noise. `make fuzz` runs
//! this for a long time.
#![cfg(not(target_arch = "wasm32"))]

use latchkey_policy::address::AddressLists;
use latchkey_policy::credential::{
    Presented, in_authorization, in_cookies, in_header, in_query, without_cookie, without_elements,
    without_query,
};
use latchkey_policy::identity::{Field, Shared, render};
use latchkey_policy::key::{Environment, KeyDigest, KeyFormat};
use latchkey_policy::limit::{Limits, Window};
use latchkey_policy::meter::{Meter, MeterError, Outcome, Owner};
use latchkey_policy::permission::Pattern;
use latchkey_policy::record::{KeyRecord, Kind, PolicyRecord, Records};
use latchkey_policy::test_util::{self, Random, fuzz};
use std::borrow::Cow;
use std::convert::Infallible;

fn key(random: &mut Random) -> String {
    let fill = |bytes: &mut [u8]| {
        bytes
            .iter_mut()
            .for_each(|byte| *byte = random.number().to_le_bytes()[0]);
        Ok::<_, Infallible>(())
    };
    let Ok(key) = KeyFormat::default().generate(Environment::Live, fill);
    key.expose().to_owned()
}

fn text(random: &mut Random) -> String {
    let alphabet = [
        'a',
        '"',
        '\\',
        '%',
        ',',
        '=',
        ' ',
        'é',
        '\u{1f511}',
        '\r',
        '\n',
        '\u{0}',
        '~',
    ];
    (0..random.below(12))
        .map(|_| *random.pick(&alphabet))
        .collect()
}

fn policy(random: &mut Random) -> PolicyRecord {
    let nets = ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32", "::/0"];
    let mut list = |max| {
        (0..random.below(max))
            .map(|_| random.pick(&nets).parse().unwrap())
            .collect()
    };
    let addresses = AddressLists {
        allow: list(5),
        deny: list(3),
    };
    PolicyRecord {
        id: random.number(),
        account: text(random),
        user: text(random),
        tier: text(random),
        environment: Environment::Test,
        owner_disabled: random.below(2) == 0,
        account_disabled: random.below(2) == 0,
        addresses,
        services: (random.below(2) == 0).then(|| texts(random)),
        roles: texts(random),
        grants: patterns(random),
        owner_grants: patterns(random),
        subaccounts: texts(random),
        confined: random.below(2) == 0,
        limits: Window::ALL
            .into_iter()
            .fold(Limits::default(), |limits, window| {
                limits.with(window, (random.below(2) == 0).then_some(7))
            }),
    }
}

fn texts(random: &mut Random) -> Vec<String> {
    (0..random.below(4)).map(|_| text(random)).collect()
}

fn patterns(random: &mut Random) -> Vec<Pattern> {
    let known = ["*", "*:read", "dns:*", "account:apikeys:create"];
    (0..random.below(4))
        .map(|_| Pattern::parse(known[random.index(known.len())]).unwrap())
        .collect()
}

#[test]
fn fuzz_key_format() {
    fuzz(|random| {
        let valid = key(random);
        assert!(KeyFormat::default().check(valid.as_bytes()).is_ok());
        let mut typo = valid.clone().into_bytes();
        let at = random.index(typo.len());
        let other = *random.pick(b"0Az_~\xff");
        let changed = std::mem::replace(&mut typo[at], other) != other;
        assert_eq!(
            KeyFormat::default().check(&typo).is_err(),
            changed,
            "one change is always noticed"
        );
        // Several changes go unnoticed once in four billion times.
        let other = random.mutated(valid.as_bytes());
        if KeyFormat::default().check(&other).is_ok() {
            assert_eq!(other.len(), valid.len());
            assert!(other.starts_with(b"lk_live_") || other.starts_with(b"lk_test_"));
            assert!(other[8..].iter().all(u8::is_ascii_alphanumeric));
        }
        let _ = KeyFormat::default().check(&random.bytes(60, b"lk_livetest_0Az"));
    });
}

#[test]
fn fuzz_records() {
    fuzz(|random| {
        let name = text(random);
        let digest = KeyDigest::of(name.as_bytes());
        let record = KeyRecord {
            secret: random.below(u32::MAX),
            disabled: true,
            ..test_util::key(digest, 7, &name)
        };
        let (mut key, mut shared) = (Vec::new(), Vec::new());
        record.encode(&mut key).unwrap();
        let policy = policy(random);
        policy.encode(&mut shared).unwrap();
        assert_eq!(KeyRecord::decode(&key), Ok(record));
        assert_eq!(PolicyRecord::decode(&shared).as_ref(), Ok(&policy));

        let (other_key, other_policy) = (random.mutated(&key), random.mutated(&shared));
        assert!(other_key == key || KeyRecord::decode(&other_key).is_err());
        assert!(other_policy == shared || PolicyRecord::decode(&other_policy).is_err());
        for (kind, bytes) in [
            (Kind::Key, other_key),
            (Kind::Policy, other_policy),
            (Kind::Policy, random.bytes(80, b"\0\x01")),
        ] {
            let run = [key.as_slice(), &bytes].concat();
            let mut split = 0;
            for record in Records::new(kind, &run) {
                split += record.map_or(0, |(_, record)| record.len());
            }
            assert!(split <= run.len());
        }
    });
}

#[test]
fn fuzz_credentials() {
    fuzz(|random| {
        let key = key(random);
        let noise = random.bytes(40, b"k=&?;, %2bBearer +\"");
        let parts: Vec<&[u8]> = vec![
            key.as_bytes(),
            &noise,
            b"Bearer ",
            b"; key=",
            b"&key=",
            b"?key=",
            b", ",
            b"key",
        ];
        let value: Vec<u8> = (0..random.below(8))
            .flat_map(|_| random.pick(&parts).to_vec())
            .collect();

        // The removed values are removed completely, and nothing else is.
        if let Some(rest) = without_query(&value, "key", |_| true) {
            assert_eq!(in_query(&rest, "key").count(), 0);
            assert_eq!(without_query(&rest, "key", |_| true), None);
            let pairs = |path: &[u8]| {
                let at = path.iter().position(|byte| *byte == b'?');
                let pairs = at.map(|at| {
                    path[at + 1..]
                        .split(|byte| *byte == b'&')
                        .map(<[u8]>::to_vec)
                        .collect()
                });
                pairs.unwrap_or(Vec::new())
            };
            let of_others =
                |pair: &Vec<u8>| in_query(&[b"?", pair.as_slice()].concat(), "key").count() == 0;
            assert_eq!(
                pairs(&rest),
                pairs(&value)
                    .into_iter()
                    .filter(of_others)
                    .collect::<Vec<_>>()
            );
        } else {
            assert_eq!(in_query(&value, "key").count(), 0);
        }
        if let Some(rest) = without_cookie(&value, "key", |_| true) {
            assert_eq!(in_cookies(&rest, "key").count(), 0);
            let others = |value: &[u8]| {
                let cookies = value
                    .split(|byte| matches!(byte, b';' | b','))
                    .map(<[u8]>::trim_ascii);
                let others = cookies
                    .filter(|cookie| !cookie.is_empty() && in_cookies(cookie, "key").count() == 0);
                others.map(<[u8]>::to_vec).collect::<Vec<_>>()
            };
            assert_eq!(others(&rest), others(&value));
        } else {
            assert_eq!(in_cookies(&value, "key").count(), 0);
        }

        // Each value counts once, wherever it stands. This is the literal definition.
        let found: Vec<Cow<'_, [u8]>> = in_header(&value)
            .chain(in_authorization(&value))
            .chain(in_cookies(&value, "key"))
            .map(Cow::Borrowed)
            .chain(in_query(&value, "key"))
            .collect();
        let all: Vec<_> = found.iter().filter(|key| !key.is_empty()).collect();
        let mut distinct = all.clone();
        distinct.sort();
        distinct.dedup();
        match (
            Presented::from_candidates(found.iter().cloned()),
            distinct.as_slice(),
        ) {
            (Presented::None, []) => {}
            (Presented::One(found), [one]) => assert_eq!(found, **one),
            (Presented::Several(mut found), [_, _, ..]) => {
                found.sort();
                assert!(all.len() <= 16 && found.iter().eq(distinct));
            }
            (Presented::TooMany, _) => assert!(all.len() > 16),
            (found, expected) => panic!("{found:?} of {expected:?}"),
        }
        let kept = without_elements([value.as_slice()], |element| element == key.as_bytes());
        let others = |value: &[u8]| {
            let others = in_header(value)
                .filter(|element| !element.is_empty() && *element != key.as_bytes());
            others.map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        match kept {
            Some(rest) => {
                assert_eq!(
                    in_header(&rest)
                        .filter(|one| !one.is_empty())
                        .collect::<Vec<_>>(),
                    others(&value)
                );
            }
            None => assert!(in_header(&value).all(|element| element != key.as_bytes())),
        }
    });
}

/// Reads the members of a dictionary of strings and Display Strings, by RFC 9651's grammar.
fn parse_dictionary(mut text: &str) -> Vec<(String, String)> {
    let mut members = Vec::new();
    loop {
        let (name, rest) = text.split_once('=').unwrap();
        let display = rest.starts_with('%');
        let mut characters = rest
            .trim_start_matches('%')
            .strip_prefix('"')
            .unwrap()
            .char_indices();
        let mut value = Vec::new();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') if !display => {
                    value.push(u8::try_from(characters.next().unwrap().1).unwrap());
                }
                (_, '%') if display => {
                    let digits = [characters.next().unwrap().1, characters.next().unwrap().1];
                    assert!(
                        digits
                            .iter()
                            .all(|digit| matches!(digit, '0'..='9' | 'a'..='f'))
                    );
                    value.push(u8::from_str_radix(&digits.iter().collect::<String>(), 16).unwrap());
                }
                (_, plain) => {
                    assert!(matches!(plain, ' '..='~'), "{plain:?}");
                    value.push(u8::try_from(plain).unwrap());
                }
            }
        };
        members.push((name.to_owned(), String::from_utf8(value).unwrap()));
        let quoted = rest.len() - rest.trim_start_matches('%').len() + 1;
        text = match rest[quoted + end + 1..].strip_prefix(", ") {
            Some(next) => next,
            None => return members,
        };
    }
}

#[test]
fn fuzz_identity() {
    fuzz(|random| {
        // The small parser below does not read lists.
        let (policy, name) = (
            PolicyRecord {
                roles: Vec::new(),
                ..policy(random)
            },
            text(random),
        );
        let digest = KeyDigest([0; 32]);
        let key = test_util::key(digest, 1, &name);
        let shared = Shared::render(&policy);
        let subaccount = (random.below(2) == 0).then(|| text(random));
        let members = parse_dictionary(&render(&key, &shared, subaccount.as_deref()));
        let expected = [
            ("key", Some("key_abc123def456")),
            ("name", Some(&*name)),
            ("account", Some(&*policy.account)),
            ("user", Some(&*policy.user)),
            ("subaccount", subaccount.as_deref()),
            ("tier", Some(&*policy.tier)),
            ("env", Some("test")),
        ];
        let expected = expected
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
        assert_eq!(members, expected.collect::<Vec<_>>());
        for (_, field) in Field::ALL {
            assert!(
                field
                    .value(&key, &shared, subaccount.as_deref())
                    .bytes()
                    .all(|byte| matches!(byte, b' '..=b'~'))
            );
        }
    });
}

#[test]
fn fuzz_meter() {
    fuzz(|random| {
        let owner = Owner {
            epoch: *b"abcd",
            key: 7,
        };
        let mut meter = Meter::new(owner);
        let mut now = 1_709_251_170;
        for _ in 0..random.below(40) {
            now = match random.below(16) {
                0 => i64::from_le_bytes(random.number().to_le_bytes()),
                1 => now.saturating_sub(i64::from(random.below(2_000))),
                _ => now.saturating_add(i64::from(random.below(40))),
            };
            let window = *random.pick(&Window::ALL);
            match random.below(4) {
                0 => {
                    let number = window
                        .number(now)
                        .saturating_add(random.below(4))
                        .saturating_sub(2);
                    let number = if random.below(8) == 0 {
                        random.below(u32::MAX)
                    } else {
                        number
                    };
                    meter.elsewhere(
                        window,
                        number,
                        random.below(u32::MAX) >> random.below(32),
                        now,
                    );
                }
                1 => meter.count(*random.pick(&Outcome::ALL)),
                _ => {
                    let limits = Limits::default().with(window, Some(1 + random.below(5)));
                    let (before, left) = (meter, meter.nearest(&limits, now).unwrap().remaining);
                    let quota = meter.admit(&limits, now);
                    meter.used(1 + random.below(4), now, || Some([192, 0, 2, 1].into()));
                    assert_eq!(quota.admitted(), left > 0);
                    assert_eq!(
                        meter.nearest(&limits, now).unwrap().remaining,
                        left.saturating_sub(1)
                    );
                    assert!(
                        quota
                            .refused_by
                            .is_none_or(|refused| refused.retry_after >= 1)
                    );
                    assert_eq!(meter.windows().eq(before.windows()), !quota.admitted());
                }
            }
            meter.windows().for_each(|(_, _, here)| assert!(here > 0));
            assert!(
                meter
                    .last_uses()
                    .map(|used| used.secret)
                    .is_sorted_by(|newer, older| newer > older)
            );
        }
        let cell = meter.encode();
        assert_eq!(Meter::from_cell(Some(&cell), owner), Ok(meter));
        for bytes in [random.mutated(&cell), random.bytes(cell.len(), b"\0\x01")] {
            assert!(
                bytes == cell || Meter::from_cell(Some(&bytes), owner) == Err(MeterError::Damaged)
            );
        }
    });
}
