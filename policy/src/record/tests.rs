//! Records: round trips, truncation, flipped bits, possible additions of a later format.

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn key(name: &str) -> KeyRecord<'_> {
    KeyRecord {
        digest: KeyDigest::of(name.as_bytes()),
        policy: 7,
        number: 1 << 40,
        slot: 3,
        secret: 2,
        expires_at: Some(1_800_000_000),
        disabled: true,
        id: "abc123def456",
        name,
    }
}

fn policy() -> PolicyRecord {
    PolicyRecord {
        id: u64::MAX,
        account: "acc_1".into(),
        user: "usr_é".into(),
        tier: "basic".into(),
        environment: Environment::Test,
        owner_disabled: true,
        account_disabled: false,
        addresses: AddressLists {
            allow: vec![
                "10.0.0.0/8".parse().unwrap(),
                "2001:db8::/32".parse().unwrap(),
            ],
            deny: vec!["10.1.2.3/32".parse().unwrap()],
        },
        services: Some(vec!["dns".into(), "cdn".into()]),
        roles: vec!["dns_manager".into()],
        grants: vec![
            Pattern::parse("dns:*").unwrap(),
            Pattern::parse("account:apikeys:read").unwrap(),
        ],
        owner_grants: vec![Pattern::parse("*").unwrap()],
        subaccounts: vec!["sub_1".into()],
        confined: true,
        limits: Limits::default()
            .with(Window::Minute, Some(10))
            .with(Window::Month, Some(u32::MAX)),
    }
}

#[test]
fn keys_survive_the_round_trip() {
    for key in [
        key("CI"),
        key(""),
        key(&"é".repeat(200)),
        KeyRecord {
            expires_at: None,
            disabled: false,
            ..key("CI")
        },
        KeyRecord {
            expires_at: Some(i64::MIN),
            ..key("CI")
        },
        KeyRecord {
            secret: u32::MAX,
            ..key("CI")
        },
    ] {
        let mut bytes = Vec::new();
        key.encode(&mut bytes).unwrap();
        assert_eq!(KeyRecord::decode(&bytes), Ok(key));
    }
}

#[test]
fn policies_survive_the_round_trip() {
    let mut bytes = Vec::new();
    policy().encode(&mut bytes).unwrap();
    assert_eq!(PolicyRecord::decode(&bytes), Ok(policy()));
}

#[test]
fn records_are_split_with_their_identifiers() {
    let mut bytes = Vec::new();
    key("one").encode(&mut bytes).unwrap();
    key("two").encode(&mut bytes).unwrap();
    let split: Vec<_> = Records::new(Kind::Key, &bytes)
        .map(Result::unwrap)
        .collect();
    assert_eq!(split.len(), 2);
    assert_eq!(split[0].0, key("one").digest.0);
    assert_eq!(KeyRecord::decode(split[1].1), Ok(key("two")));
}

#[test]
fn every_truncation_is_noticed() {
    let mut bytes = Vec::new();
    key("one").encode(&mut bytes).unwrap();
    for end in 1..bytes.len() {
        assert_eq!(KeyRecord::decode(&bytes[..end]), Err(Damaged));
        assert_eq!(
            Records::new(Kind::Key, &bytes[..end]).collect::<Vec<_>>(),
            [Err(Damaged)]
        );
    }
    let mut bytes = Vec::new();
    policy().encode(&mut bytes).unwrap();
    for end in 1..bytes.len() {
        assert_eq!(PolicyRecord::decode(&bytes[..end]), Err(Damaged));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut key_bytes = Vec::new();
    key("one").encode(&mut key_bytes).unwrap();
    let mut policy_bytes = Vec::new();
    policy().encode(&mut policy_bytes).unwrap();
    for bit in 0..key_bytes.len() * 8 {
        key_bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(KeyRecord::decode(&key_bytes), Err(Damaged), "bit {bit}");
        key_bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for bit in 0..policy_bytes.len() * 8 {
        policy_bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            PolicyRecord::decode(&policy_bytes),
            Err(Damaged),
            "bit {bit}"
        );
        policy_bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn later_format_is_refused() {
    let mut bytes = Vec::new();
    let (head, never) = ([0; 24], NEVER.to_le_bytes());
    let body = [&head[..], &never, &[2], b"abc123def456", b"name"];
    encode(Kind::Key, &key("one").digest.0, &body, &mut bytes).unwrap();
    assert_eq!(
        KeyRecord::decode(&bytes),
        Err(Damaged),
        "an unknown flag of a key"
    );
    for (flags, more, understood) in [
        (0, &b""[..], true),
        (32, b"", false),
        (0, b"\x01more", false),
    ] {
        let mut bytes = Vec::new();
        encode(
            Kind::Policy,
            &[0; 8],
            &[
                &[flags],
                b"\x01a\x01u\x01t",
                &[0; 8],
                &[0; 20],
                &[0; 16],
                more,
            ],
            &mut bytes,
        )
        .unwrap();
        let decoded = PolicyRecord::decode(&bytes);
        assert_eq!(
            decoded.is_ok(),
            understood,
            "flags {flags}, {more:?} behind the rest: {decoded:?}"
        );
    }
}

#[test]
fn oversized_field_is_refused_by_name() {
    let long = "x".repeat(70_000);
    assert_eq!(
        key(&long).encode(&mut Vec::new()),
        Err(TooLong { field: "name" })
    );
    let tier = "x".repeat(256);
    assert_eq!(
        PolicyRecord { tier, ..policy() }.encode(&mut Vec::new()),
        Err(TooLong { field: "tier" })
    );
}

#[test]
fn numbers_have_their_shortest_encoding() {
    for (number, len) in [
        (0, 1),
        (127, 1),
        (128, 2),
        (16_383, 2),
        (16_384, 3),
        (u32::MAX.into(), 5),
        (u64::MAX, 10),
    ] {
        let mut bytes = Vec::new();
        put_number(number, &mut bytes);
        assert_eq!(bytes.len(), len, "{number}");
        bytes.push(9);
        let mut fields = Fields(&bytes);
        assert_eq!((fields.number(), fields.0), (Ok(number), &[9][..]));
    }
}

#[test]
fn endless_or_oversized_number_is_damage() {
    for bytes in [
        &[][..],
        &[0x80],
        &[0xff; 10],
        &[0xff; 11],
        &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 2],
    ] {
        assert_eq!(Fields(bytes).number::<u64>(), Err(Damaged), "{bytes:?}");
    }
    assert_eq!(
        Fields(&[0x80, 0x80, 0x80, 0x80, 0x10]).number::<u32>(),
        Err(Damaged)
    );
}
