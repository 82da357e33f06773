//! A key's IP lists: which client addresses it may be used from.
//!
//! With at least one allow entry, an address is admitted exactly when an allow entry matches, whatever the deny list
//! says; without, exactly when no deny entry matches (VergeOS: "the IP Allow List takes precedence").
//!
//! An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is the IPv4 address in it, in lists as in requests. Apart from
//! that IPv4 addresses match IPv4 entries alone, and IPv6 ones IPv6 entries: `::/0` is not `0.0.0.0/0`.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a text is no entry of an IP list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// Neither an address nor a CIDR.
    #[error("must be an IP address, or a range such as 192.0.2.0/24 or 2001:db8::/32")]
    Syntax,
    /// The address has bits behind the prefix: what is meant is not clear.
    #[error("has bits set behind its prefix; the range that it is in is {0}")]
    HostBits(IpNet),
}

/// Reads an entry: one address, or a range in CIDR notation.
pub fn parse_entry(text: &str) -> Result<IpNet, InvalidEntry> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| InvalidEntry::Syntax)?,
    };
    if net.trunc() == net { Ok(unmapped(net)) } else { Err(InvalidEntry::HostBits(net.trunc())) }
}

/// The enabled entries of a key's two lists, as they are sent to nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressLists {
    /// Takes precedence unless it is empty.
    pub allow: Vec<IpNet>,
    /// Counts only while `allow` is empty.
    pub deny: Vec<IpNet>,
}

/// The lists as requests use them: a look-up takes the logarithm of their length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRule {
    /// There are no lists.
    Any,
    /// Only these.
    Only(AddressSet),
    /// All but these.
    AllBut(AddressSet),
}

impl AddressRule {
    /// Sorts the lists out.
    pub fn compile(lists: &AddressLists) -> Self {
        if !lists.allow.is_empty() {
            Self::Only(AddressSet::new(&lists.allow))
        } else if !lists.deny.is_empty() {
            Self::AllBut(AddressSet::new(&lists.deny))
        } else {
            Self::Any
        }
    }

    /// How many ranges there are to keep.
    pub fn len(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Only(set) | Self::AllBut(set) => set.v4.len().saturating_add(set.v6.len()),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether requests from the address that `source` tells are admitted. It is only asked when there are lists; an
    /// address that is not known is not admitted then.
    pub fn admits(&self, source: impl FnOnce() -> Option<IpAddr>) -> bool {
        match self {
            Self::Any => true,
            Self::Only(set) => source().is_some_and(|address| set.contains(address)),
            Self::AllBut(set) => source().is_some_and(|address| !set.contains(address)),
        }
    }
}

/// Disjoint ranges of addresses, first and last, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressSet {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl AddressSet {
    /// All addresses of these ranges, which may overlap.
    pub fn new(nets: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match unmapped(*net) {
                IpNet::V4(net) => v4.push((u32::from(net.network()), u32::from(net.broadcast()))),
                IpNet::V6(net) => v6.push((u128::from(net.network()), u128::from(net.broadcast()))),
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether one of the ranges has this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }
}

fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= *end => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn within<T: Ord>(ranges: &[(T, T)], address: T) -> bool {
    // The last range that begins at or before the address is the only one that can have it.
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

/// A range within `::ffff:0:0/96` is the IPv4 range in it.
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let Some(v4) = v6.network().to_ipv4_mapped() else { return net };
    let prefix = v6.prefix_len().checked_sub(96).and_then(|prefix| Ipv4Net::new(v4, prefix).ok());
    prefix.map_or(net, IpNet::V4)
}

/// Reads an address as Envoy writes it: `192.0.2.1:4711` or `[2001:db8::1]:4711`.
pub fn parse_source(text: &[u8]) -> Option<IpAddr> {
    let address: SocketAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.ip())
}

/// Reads one entry of `X-Forwarded-For`, with or without blanks around it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`,
/// `[2001:db8::1]` or `[2001:db8::1]:4711`. An IPv4-mapped address is returned as the IPv4 address in it.
///
/// Anything else is no address: names, quotes, zone ids, ports that are absent behind their colon or too large, and
/// decimal numbers with leading zeros, which some read as octal.
pub fn parse_forwarded(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let address = if let Some(text) = text.strip_prefix('[') {
        let (address, port) = text.split_once(']')?;
        is_port(port)?;
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if text.bytes().filter(|byte| *byte == b':').count() > 1 {
        IpAddr::V6(text.parse::<Ipv6Addr>().ok()?)
    } else {
        let at = text.find(':').unwrap_or(text.len());
        let (address, port) = text.split_at_checked(at)?;
        is_port(port)?;
        IpAddr::V4(address.parse::<Ipv4Addr>().ok()?)
    };
    Some(address.to_canonical())
}

/// Nothing, or a colon and a port.
fn is_port(text: &str) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    let digits = text.strip_prefix(':')?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    (is_plain && digits.parse::<u16>().is_ok()).then_some(())
}

const FAMILY_V4: u8 = 4;
const FAMILY_V6: u8 = 6;

/// Appends a range: `family: u8`, `prefix: u8`, and the address' 4 or 16 bytes.
pub(crate) fn encode(net: &IpNet, out: &mut Vec<u8>) {
    match net {
        IpNet::V4(net) => {
            out.extend_from_slice(&[FAMILY_V4, net.prefix_len()]);
            out.extend_from_slice(&net.addr().octets());
        }
        IpNet::V6(net) => {
            out.extend_from_slice(&[FAMILY_V6, net.prefix_len()]);
            out.extend_from_slice(&net.addr().octets());
        }
    }
}

/// Reads a range, and what is behind it.
pub(crate) fn decode(bytes: &[u8]) -> Option<(IpNet, &[u8])> {
    let ([family, prefix], rest) = bytes.split_first_chunk()?;
    match *family {
        FAMILY_V4 => {
            let (octets, rest) = rest.split_first_chunk::<4>()?;
            Some((Ipv4Net::new((*octets).into(), *prefix).ok()?.into(), rest))
        }
        FAMILY_V6 => {
            let (octets, rest) = rest.split_first_chunk::<16>()?;
            Some((Ipv6Net::new((*octets).into(), *prefix).ok()?.into(), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_util::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| parse_entry(text).unwrap()).collect()
    }

    fn admits(allow: &[&str], deny: &[&str], address: &str) -> bool {
        let lists = AddressLists { allow: nets(allow), deny: nets(deny) };
        AddressRule::compile(&lists).admits(|| Some(address.parse().unwrap()))
    }

    #[test]
    fn without_lists_every_address_is_admitted_and_none_is_asked_for() {
        assert!(AddressRule::compile(&AddressLists::default()).admits(|| panic!("asked")));
    }

    #[test]
    fn an_allow_list_admits_what_it_has_and_nothing_else_whatever_is_denied() {
        assert!(admits(&["10.0.0.0/8"], &["10.1.0.0/16"], "10.1.2.3"));
        assert!(admits(&["10.0.0.0/8"], &["0.0.0.0/0"], "10.1.2.3"));
        assert!(!admits(&["10.0.0.0/8"], &[], "11.0.0.1"));
        assert!(!admits(&["10.0.0.1"], &[], "10.0.0.2"));
        assert!(!admits(&["10.0.0.0/8"], &[], "2001:db8::1"));
    }

    #[test]
    fn a_deny_list_alone_admits_what_it_does_not_have() {
        assert!(!admits(&[], &["192.0.2.0/24"], "192.0.2.255"));
        assert!(admits(&[], &["192.0.2.0/24"], "192.0.3.0"));
        assert!(admits(&[], &["192.0.2.0/24"], "2001:db8::1"));
    }

    #[test]
    fn mapped_addresses_are_the_ones_in_them() {
        assert!(admits(&["10.0.0.0/8"], &[], "::ffff:10.1.2.3"));
        assert!(admits(&["::ffff:10.0.0.0/104"], &[], "10.1.2.3"));
        assert!(!admits(&[], &["::ffff:10.1.2.3"], "10.1.2.3"));
        assert!(!admits(&["::/0"], &[], "10.1.2.3"), "all of IPv6 is not all of IPv4");
        assert!(admits(&["::/0"], &[], "2001:db8::1"));
        assert!(!admits(&["0.0.0.0/0"], &[], "2001:db8::1"));
    }

    #[test]
    fn an_address_that_is_not_known_is_not_admitted_by_lists() {
        for (allow, deny) in [(vec!["10.0.0.0/8"], vec![]), (vec![], vec!["10.0.0.0/8"])] {
            let lists = AddressLists { allow: nets(&allow), deny: nets(&deny) };
            assert!(!AddressRule::compile(&lists).admits(|| None));
        }
    }

    #[test]
    fn entries_are_read_with_a_reason_for_what_they_are_not() {
        assert_eq!(parse_entry("10.0.0.1"), Ok("10.0.0.1/32".parse().unwrap()));
        assert_eq!(parse_entry("2001:db8::/32"), Ok("2001:db8::/32".parse().unwrap()));
        assert_eq!(parse_entry("10.0.0.1/8"), Err(InvalidEntry::HostBits("10.0.0.0/8".parse().unwrap())));
        for wrong in
            ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.1-10.0.0.9", "example.com", " 10.0.0.1", "010.0.0.1"]
        {
            assert_eq!(parse_entry(wrong), Err(InvalidEntry::Syntax), "{wrong}");
        }
    }

    #[test]
    fn sources_are_read_as_envoy_writes_them() {
        assert_eq!(parse_source(b"192.0.2.1:4711"), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(parse_source(b"[2001:db8::1]:1"), Some("2001:db8::1".parse().unwrap()));
        for other in [&b"/var/run/socket"[..], b"192.0.2.1", b"", b"\xff", b"envoy://internal/x"] {
            assert_eq!(parse_source(other), None);
        }
    }

    #[test]
    fn forwarded_entries_are_read_with_ports_and_brackets() {
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
            assert_eq!(parse_forwarded(entry.as_bytes()), Some(address.parse().unwrap()), "{entry}");
        }
    }

    #[test]
    fn forwarded_entries_that_are_no_address_are_unknown() {
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

    /// Whatever an address is written with, it is read as itself.
    #[test]
    fn forwarded_entries_survive_the_round_trip() {
        let mut random = Random(11);
        for _ in 0..1_000 {
            let v4 = Ipv4Addr::from(random.below(u32::MAX));
            let groups = [(); 8].map(|()| u16::try_from(random.below(3) * random.below(0x5555)).unwrap());
            let (v6, port) = (Ipv6Addr::from(groups), random.below(65_536));
            for (entry, address) in [
                (v4.to_string(), IpAddr::from(v4)),
                (format!("{v4}:{port}"), v4.into()),
                (v6.to_string(), v6.into()),
                (format!("[{v6}]"), v6.into()),
                (format!("[{v6}]:{port}"), v6.into()),
            ] {
                assert_eq!(parse_forwarded(entry.as_bytes()), Some(address.to_canonical()), "{entry}");
            }
        }
    }

    /// Against the definition, taken literally, on ranges that overlap, nest and touch.
    #[test]
    fn sets_agree_with_a_look_at_every_entry() {
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
                        IpNet::from(Ipv4Net::new(address, u8::try_from(24 + random(9)).unwrap()).unwrap().trunc())
                    }
                    1 => {
                        let address = Ipv4Addr::from(0x0a00_0000 | low).to_ipv6_mapped();
                        IpNet::from(Ipv6Net::new(address, u8::try_from(120 + random(9)).unwrap()).unwrap().trunc())
                    }
                    _ => {
                        let address = Ipv6Addr::from((0x2001_0db8u128 << 96) | u128::from(low));
                        IpNet::from(Ipv6Net::new(address, u8::try_from(120 + random(9)).unwrap()).unwrap().trunc())
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
                assert_eq!(set.contains(v4.to_ipv6_mapped().into()), expected, "{v4} mapped, in {nets:?}");
                assert_eq!(set.contains(v6.into()), has(v6.into()), "{v6} in {nets:?}");
            }
        }
    }

    #[test]
    fn ranges_survive_the_round_trip() {
        for net in nets(&["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "::/0", "::ffff:1.2.3.4"]) {
            let mut bytes = Vec::new();
            encode(&net, &mut bytes);
            bytes.push(9);
            assert_eq!(decode(&bytes), Some((net, &[9][..])));
            assert_eq!(decode(&bytes[..bytes.len() - 2]), None);
        }
        assert_eq!(decode(&[4, 33, 0, 0, 0, 0]), None);
        assert_eq!(decode(&[5, 0, 0, 0, 0, 0]), None);
    }
}
