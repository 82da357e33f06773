//! Tests of address sets: which addresses IP lists admit.

use super::*;
use crate::test_util::Random;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts
        .iter()
        .map(|text| parse_entry(text).unwrap())
        .collect()
}

fn admits(allow: &[&str], deny: &[&str], address: &str) -> bool {
    let lists = AddressLists {
        allow: nets(allow),
        deny: nets(deny),
    };
    AddressRule::compile(&lists).admits(|| Some(address.parse().unwrap()))
}

#[test]
fn every_address_is_admitted_without_lists() {
    assert!(AddressRule::compile(&AddressLists::default()).admits(|| panic!("asked")));
}

#[test]
fn allow_list_admits_only_its_addresses() {
    assert!(admits(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3"));
    assert!(admits(&["10.0.0.0/8"], &["0.0.0.0/0"], "10.1.2.3"));
    assert!(!admits(&["10.0.0.0/8"], &[], "11.0.0.1"));
    assert!(!admits(&["10.0.0.1"], &[], "10.0.0.2"));
    assert!(!admits(&["10.0.0.0/8"], &[], "2001:db8::1"));
}

#[test]
fn deny_list_admits_all_other_addresses() {
    assert!(!admits(&[], &["192.0.2.0/24"], "192.0.2.255"));
    assert!(admits(&[], &["192.0.2.0/24"], "192.0.3.0"));
    assert!(admits(&[], &["192.0.2.0/24"], "2001:db8::1"));
}

#[test]
fn mapped_addresses_are_read_as_ipv4() {
    assert!(admits(&["10.0.0.0/8"], &[], "::ffff:10.1.2.3"));
    assert!(admits(&["::ffff:10.0.0.0/104"], &[], "10.1.2.3"));
    assert!(!admits(&[], &["::ffff:10.1.2.3"], "10.1.2.3"));
    assert!(
        !admits(&["::/0"], &[], "10.1.2.3"),
        "all of IPv6 is not all of IPv4"
    );
    assert!(admits(&["::/0"], &[], "2001:db8::1"));
    assert!(!admits(&["0.0.0.0/0"], &[], "2001:db8::1"));
}

#[test]
fn lists_do_not_admit_unknown_addresses() {
    for (allow, deny) in [(vec!["10.0.0.0/8"], vec![]), (vec![], vec!["10.0.0.0/8"])] {
        let lists = AddressLists {
            allow: nets(&allow),
            deny: nets(&deny),
        };
        assert!(!AddressRule::compile(&lists).admits(|| None));
    }
}

#[test]
fn invalid_entries_are_refused_with_a_reason() {
    assert_eq!(parse_entry("10.0.0.1"), Ok("10.0.0.1/32".parse().unwrap()));
    assert_eq!(
        parse_entry("2001:db8::/32"),
        Ok("2001:db8::/32".parse().unwrap())
    );
    assert_eq!(
        parse_entry("10.0.0.1/8"),
        Err(InvalidEntry::HostBits("10.0.0.0/8".parse().unwrap()))
    );
    for wrong in [
        "",
        "10.0.0",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.1-10.0.0.9",
        "example.com",
        " 10.0.0.1",
        "010.0.0.1",
    ] {
        assert_eq!(parse_entry(wrong), Err(InvalidEntry::Syntax), "{wrong}");
    }
}

#[test]
fn envoy_sources_are_read() {
    assert_eq!(
        parse_source(b"192.0.2.1:4711"),
        Some("192.0.2.1".parse().unwrap())
    );
    assert_eq!(
        parse_source(b"[2001:db8::1]:1"),
        Some("2001:db8::1".parse().unwrap())
    );
    for other in [
        &b"/var/run/socket"[..],
        b"192.0.2.1",
        b"",
        b"\xff",
        b"envoy://internal/x",
    ] {
        assert_eq!(parse_source(other), None);
    }
}

#[test]
fn forwarded_entries_may_have_ports() {
    for (entry, address) in [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1\t", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("192.0.2.1:0", "192.0.2.1"),
        ("192.0.2.1:65535", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8::0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:443", "192.0.2.1"),
        ("::", "::"),
    ] {
        assert_eq!(
            parse_forwarded(entry.as_bytes()),
            Some(address.parse().unwrap()),
            "{entry}"
        );
    }
}

#[test]
fn forwarded_entries_without_address_are_unknown() {
    for entry in [
        "",
        " ",
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:080",
        "192.0.2.1:+80",
        "192.0.2.1:http",
        "192.0.2.01",
        "010.0.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "192.0.2",
        "192.0.2.1.",
        "192.0.2.1/32",
        "192.0.2.1, 192.0.2.2",
        "[192.0.2.1]",
        "[192.0.2.1]:80",
        "[2001:db8::1",
        "2001:db8::1]",
        "[2001:db8::1]4711",
        "[2001:db8::1]:",
        "[2001:db8::1]:99999",
        "[[2001:db8::1]]",
        "fe80::1%eth0",
        "[fe80::1%25eth0]:80",
        "\"192.0.2.1\"",
        "\"[2001:db8::1]:4711\"",
        "for=192.0.2.1",
        "\u{a0}192.0.2.1",
    ] {
        assert_eq!(parse_forwarded(entry.as_bytes()), None, "{entry}");
    }
    assert_eq!(parse_forwarded(b"\xff"), None);
    assert_eq!(parse_forwarded(b"192.0.2.1\0"), None);
}

/// An address is read as itself in every form in which it can be written.
#[test]
fn forwarded_entries_survive_the_round_trip() {
    let mut random = Random(11);
    for _ in 0..1_000 {
        let v4 = Ipv4Addr::from(random.below(u32::MAX));
        let groups =
            [(); 8].map(|()| u16::try_from(random.below(3) * random.below(0x5555)).unwrap());
        let (v6, port) = (Ipv6Addr::from(groups), random.below(65_536));
        for (entry, address) in [
            (v4.to_string(), IpAddr::from(v4)),
            (format!("{v4}:{port}"), v4.into()),
            (v6.to_string(), v6.into()),
            (format!("[{v6}]"), v6.into()),
            (format!("[{v6}]:{port}"), v6.into()),
        ] {
            assert_eq!(
                parse_forwarded(entry.as_bytes()),
                Some(address.to_canonical()),
                "{entry}"
            );
        }
    }
}

/// Compared with a literal implementation of the definition, on ranges that overlap, nest and
/// touch.
#[test]
fn sets_agree_with_a_linear_search() {
    let mut random = Random(7);
    let mut random = |bound| random.below(bound);
    for _ in 0..300 {
        let mut nets = Vec::new();
        for _ in 0..random(12) {
            // Few bits vary, so that ranges meet.
            let low = random(256);
            nets.push(match random(3) {
                0 => {
                    let address = Ipv4Addr::from(0x0a00_0000 | low);
                    IpNet::from(
                        Ipv4Net::new(address, u8::try_from(24 + random(9)).unwrap())
                            .unwrap()
                            .trunc(),
                    )
                }
                1 => {
                    let address = Ipv4Addr::from(0x0a00_0000 | low).to_ipv6_mapped();
                    IpNet::from(
                        Ipv6Net::new(address, u8::try_from(120 + random(9)).unwrap())
                            .unwrap()
                            .trunc(),
                    )
                }
                _ => {
                    let address = Ipv6Addr::from((0x2001_0db8u128 << 96) | u128::from(low));
                    IpNet::from(
                        Ipv6Net::new(address, u8::try_from(120 + random(9)).unwrap())
                            .unwrap()
                            .trunc(),
                    )
                }
            });
        }
        let set = AddressSet::new(&nets);
        for low in 0..256u32 {
            let v4 = Ipv4Addr::from(0x0a00_0000 | low);
            let v6 = Ipv6Addr::from((0x2001_0db8u128 << 96) | u128::from(low));
            let has = |address: IpAddr| nets.iter().any(|net| net.contains(&address));
            let expected = has(v4.into()) || has(v4.to_ipv6_mapped().into());
            assert_eq!(set.contains(v4.into()), expected, "{v4} in {nets:?}");
            assert_eq!(
                set.contains(v4.to_ipv6_mapped().into()),
                expected,
                "{v4} mapped, in {nets:?}"
            );
            assert_eq!(set.contains(v6.into()), has(v6.into()), "{v6} in {nets:?}");
        }
    }
}

#[test]
fn ranges_survive_the_round_trip() {
    for net in nets(&[
        "10.0.0.0/8",
        "192.0.2.1",
        "2001:db8::/32",
        "::/0",
        "::ffff:1.2.3.4",
    ]) {
        let mut bytes = Vec::new();
        encode(&net, &mut bytes);
        bytes.push(9);
        assert_eq!(decode(&bytes), Some((net, &[9][..])));
        assert_eq!(decode(&bytes[..bytes.len() - 2]), None);
    }
    assert_eq!(decode(&[4, 33, 0, 0, 0, 0]), None);
    assert_eq!(decode(&[5, 0, 0, 0, 0, 0]), None);
}
