//! Comparing rules: whether all addresses that one rule admits are admitted by another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AddressRule, AddressSet};

/// The range of IPv4-mapped IPv6 addresses: requests have the IPv4 addresses in them.
const MAPPED: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A known client address.
    Address(IpAddr),
    /// An address that is not known.
    Unknown,
}

impl AddressRule {
    /// Returns the first origin that this rule admits and `other` does not; `None` if `other`
    /// admits all that this rule admits.
    pub fn beyond(&self, other: &Self) -> Option<Origin> {
        let v4 = || {
            let first = first_outside(&self.admitted_v4(), &other.admitted_v4())?;
            u32::try_from(first)
                .ok()
                .map(|address| IpAddr::V4(Ipv4Addr::from(address)))
        };

        let v6 = || {
            // No request has such an address, so whether `other` admits it does not matter.
            let mut covering = other.admitted_v6();
            covering.push(MAPPED);
            let first = first_outside(&self.admitted_v6(), &super::merged(covering))?;
            Some(IpAddr::V6(Ipv6Addr::from(first)))
        };

        let unknown = || (*self == Self::Any && *other != Self::Any).then_some(Origin::Unknown);
        v4().or_else(v6).map(Origin::Address).or_else(unknown)
    }

    fn admitted_v4(&self) -> Vec<(u128, u128)> {
        let ranges = |set: &AddressSet| {
            set.v4
                .iter()
                .map(|(first, last)| ((*first).into(), (*last).into()))
                .collect()
        };
        self.admitted(ranges, u32::MAX.into())
    }

    fn admitted_v6(&self) -> Vec<(u128, u128)> {
        self.admitted(|set| set.v6.clone(), u128::MAX)
    }

    /// Returns the addresses of one family, from 0 to `highest`, that are admitted.
    fn admitted(
        &self,
        ranges: impl FnOnce(&AddressSet) -> Vec<(u128, u128)>,
        highest: u128,
    ) -> Vec<(u128, u128)> {
        match self {
            Self::Any => vec![(0, highest)],
            Self::Only(set) => ranges(set),
            Self::AllBut(set) => complement(&ranges(set), highest),
        }
    }
}

/// Returns the numbers from 0 to `highest` that are not in `ranges`, which are disjoint and
/// ascending.
fn complement(ranges: &[(u128, u128)], highest: u128) -> Vec<(u128, u128)> {
    let mut left = Vec::with_capacity(ranges.len().saturating_add(1));
    let mut next = Some(0_u128);

    for (first, last) in ranges {
        if let Some(begin) = next
            && let Some(end) = first.checked_sub(1)
            && begin <= end
        {
            left.push((begin, end));
        }
        next = last.checked_add(1);
    }

    if let Some(begin) = next.filter(|begin| *begin <= highest) {
        left.push((begin, highest));
    }
    left
}

/// Returns the first number of `ranges` that is not in `covering`. Both are disjoint and ascending;
/// ranges that touch count as one.
fn first_outside(ranges: &[(u128, u128)], covering: &[(u128, u128)]) -> Option<u128> {
    for (first, last) in ranges {
        let mut next = *first;
        loop {
            let behind = covering.partition_point(|(begin, _)| *begin <= next);
            let end = behind
                .checked_sub(1)
                .and_then(|at| covering.get(at))
                .map(|(_, end)| *end);
            let Some(end) = end.filter(|end| next <= *end) else {
                return Some(next);
            };
            if *last <= end {
                break;
            }
            next = end.checked_add(1)?;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{AddressLists, parse_entry};
    use super::*;
    use crate::test_util::Random;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn rule(allow: &[&str], deny: &[&str]) -> AddressRule {
        let nets = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| parse_entry(text).unwrap())
                .collect()
        };
        AddressRule::compile(&AddressLists {
            allow: nets(allow),
            deny: nets(deny),
        })
    }

    fn address(text: &str) -> Option<Origin> {
        Some(Origin::Address(text.parse().unwrap()))
    }

    #[test]
    fn lifting_allow_list_exceeds_deny_list() {
        let own = rule(&[], &["127.0.0.2"]);
        assert_eq!(rule(&["0.0.0.0/0"], &[]).beyond(&own), address("127.0.0.2"));
        assert_eq!(
            rule(&["0.0.0.0/0"], &["127.0.0.2"]).beyond(&own),
            address("127.0.0.2")
        );
        assert_eq!(rule(&["127.0.0.1", "::/0"], &[]).beyond(&own), None);
        assert_eq!(rule(&[], &["127.0.0.0/30"]).beyond(&own), None);
        assert_eq!(
            rule(&[], &["127.0.0.0/31"]).beyond(&own),
            address("127.0.0.2")
        );
        assert_eq!(rule(&[], &[]).beyond(&own), address("127.0.0.2"));
    }

    #[test]
    fn rule_without_lists_admits_unknown_addresses() {
        let everywhere = rule(&["0.0.0.0/0", "::/0"], &[]);
        assert_eq!(rule(&[], &[]).beyond(&everywhere), Some(Origin::Unknown));
        assert_eq!(everywhere.beyond(&rule(&[], &[])), None);
        assert_eq!(rule(&[], &[]).beyond(&rule(&[], &[])), None);
        assert_eq!(rule(&[], &["::1"]).beyond(&everywhere), None);
    }

    #[test]
    fn adjacent_ranges_cover_their_union() {
        let halves = rule(&["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"], &[]);
        assert_eq!(rule(&["0.0.0.0/0", "::/0"], &[]).beyond(&halves), None);
        assert_eq!(
            rule(
                &["255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
                &[]
            )
            .beyond(&halves),
            None
        );
    }

    #[test]
    fn mapped_addresses_are_compared_as_ipv4() {
        assert_eq!(
            rule(&["::ffff:10.0.0.0/104"], &[]).beyond(&rule(&["10.0.0.0/8"], &[])),
            None
        );
        assert_eq!(
            rule(&["10.0.0.0/8"], &[]).beyond(&rule(&[], &["::ffff:10.0.0.1"])),
            address("10.0.0.1")
        );
        // All of IPv6 but the addresses that no request has.
        let but_mapped = (0..96_u8).map(|bit| {
            let flipped = Ipv6Addr::from(MAPPED.0 ^ (1 << (127 - bit)));
            ipnet::Ipv6Net::new(flipped, bit + 1)
                .unwrap()
                .trunc()
                .to_string()
        });
        let but_mapped: Vec<_> = but_mapped.collect();
        let but_mapped: Vec<_> = but_mapped.iter().map(String::as_str).collect();
        assert_eq!(rule(&["::/0"], &[]).beyond(&rule(&but_mapped, &[])), None);
        assert_eq!(
            rule(&["::/0"], &[]).beyond(&rule(&but_mapped[1..], &[])),
            address("8000::")
        );
        assert_eq!(
            rule(&["::/0"], &[]).beyond(&rule(&[], &["0.0.0.0/0"])),
            None
        );
        assert_eq!(rule(&["::/0"], &[]).beyond(&rule(&["::/0"], &[])), None);
    }

    /// Compared with a check of every address of a small space, and of an unknown one.
    #[test]
    fn inclusion_agrees_with_both_rules() {
        let mut random = Random(23);
        let nets = |random: &mut Random| {
            let mut nets = Vec::new();
            for _ in 0..random.below(5) {
                let low = random.below(16);
                let prefix = 28 + random.below(5);
                let text = match random.below(4) {
                    0 => format!("::ffff:10.0.0.{low}/{}", 96 + prefix),
                    1 => format!("2001:db8::{low:x}/{}", 96 + prefix),
                    _ => format!("10.0.0.{low}/{prefix}"),
                };
                nets.push(text.parse::<ipnet::IpNet>().unwrap().trunc());
            }
            if random.below(6) == 0 {
                nets.extend(["0.0.0.0/0", "::/0"].map(|net| net.parse::<ipnet::IpNet>().unwrap()));
            }
            nets
        };
        let mut kinds = [0; 2];
        for _ in 0..20_000 {
            let mut lists = || AddressLists {
                allow: nets(&mut random),
                deny: nets(&mut random),
            };
            let rules = [
                AddressRule::compile(&lists()),
                AddressRule::compile(&lists()),
            ];
            let known = (0..20_u32).flat_map(|low| {
                let v6 = Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(low));
                [Ipv4Addr::from(0x0a00_0000 | low).into(), IpAddr::V6(v6)]
            });
            let origins = known
                .chain([
                    IpAddr::from([192, 0, 2, 1]),
                    IpAddr::V6(Ipv6Addr::LOCALHOST),
                ])
                .map(Some);
            let admits_more = |origin: &Option<IpAddr>| {
                rules[0].admits(|| *origin) && !rules[1].admits(|| *origin)
            };
            let expected = origins.chain([None]).any(|origin| admits_more(&origin));
            let beyond = rules[0].beyond(&rules[1]);
            assert_eq!(beyond.is_some(), expected, "{rules:?}");
            if let Some(beyond) = beyond {
                let origin = if let Origin::Address(address) = beyond {
                    Some(address)
                } else {
                    None
                };
                assert!(admits_more(&origin), "{beyond:?} of {rules:?}");
            }
            kinds[usize::from(expected)] += 1;
        }
        assert!(kinds.iter().all(|kind| *kind > 2_000), "{kinds:?}");
    }
}
