//! A key's IP lists: the client addresses that it may be used from.
//!
//! With at least one allow entry, an address is admitted exactly when an allow entry matches, and
//! the deny list has no effect. Without allow entries, it is admitted exactly when no deny entry
//! matches (VergeOS: "the IP Allow List takes precedence").
//!
//! An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is the IPv4 address in it, in lists as in
//! requests. Apart from that, IPv4 addresses match only IPv4 entries, and IPv6 addresses only IPv6
//! entries: `::/0` is not `0.0.0.0/0`.

mod inclusion;
#[cfg(test)]
mod tests;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use inclusion::Origin;

/// The reason why a text is no entry of an IP list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// Neither an address nor a CIDR.
    #[error("must be an IP address, or a range such as 192.0.2.0/24 or 2001:db8::/32")]
    Syntax,
    /// The address has bits after the prefix, so that its meaning is not clear.
    #[error("has bits set after its prefix; its range is {0}")]
    HostBits(IpNet),
}

/// Reads an entry: one address, or a range in CIDR notation.
pub fn parse_entry(text: &str) -> Result<IpNet, InvalidEntry> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse::<IpNet>().map_err(|_| InvalidEntry::Syntax)?,
    };
    if net.trunc() == net {
        Ok(unmapped(net))
    } else {
        Err(InvalidEntry::HostBits(net.trunc()))
    }
}

/// The enabled entries of a key's two lists, as they are sent to nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressLists {
    /// The allow list. It takes precedence unless it is empty.
    pub allow: Vec<IpNet>,
    /// The deny list. It has an effect only while `allow` is empty.
    pub deny: Vec<IpNet>,
}

/// The lists, compiled for requests: a look-up takes the logarithm of their length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRule {
    /// All addresses are admitted, as there are no lists.
    Any,
    /// Only these addresses are admitted.
    Only(AddressSet),
    /// All addresses but these are admitted.
    AllBut(AddressSet),
}

impl AddressRule {
    /// Compiles the lists.
    pub fn compile(lists: &AddressLists) -> Self {
        if !lists.allow.is_empty() {
            Self::Only(AddressSet::new(&lists.allow))
        } else if !lists.deny.is_empty() {
            Self::AllBut(AddressSet::new(&lists.deny))
        } else {
            Self::Any
        }
    }

    /// Returns the number of ranges.
    pub fn len(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Only(set) | Self::AllBut(set) => set.v4.len().saturating_add(set.v6.len()),
        }
    }

    /// Returns whether there are no ranges.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether requests from the address that `source` returns are admitted. `source` is
    /// only called if there are lists; an unknown address is not admitted then.
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
    /// Creates the set of all addresses of these ranges, which may overlap.
    pub fn new(nets: &[IpNet]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match unmapped(*net) {
                IpNet::V4(net) => v4.push((u32::from(net.network()), u32::from(net.broadcast()))),
                IpNet::V6(net) => v6.push((u128::from(net.network()), u128::from(net.broadcast()))),
            }
        }
        Self {
            v4: merged(v4),
            v6: merged(v6),
        }
    }

    /// Returns whether one of the ranges contains this address.
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
    behind
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|(_, last)| address <= *last)
}

/// Converts a range within `::ffff:0:0/96` to the IPv4 range in it.
fn unmapped(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let Some(v4) = v6.network().to_ipv4_mapped() else {
        return net;
    };
    let prefix = v6
        .prefix_len()
        .checked_sub(96)
        .and_then(|prefix| Ipv4Net::new(v4, prefix).ok());
    prefix.map_or(net, IpNet::V4)
}

/// Reads an address as Envoy writes it: `192.0.2.1:4711` or `[2001:db8::1]:4711`.
pub fn parse_source(text: &[u8]) -> Option<IpAddr> {
    let address: SocketAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(address.ip())
}

/// Reads one entry of `X-Forwarded-For`, with or without blanks around it: `192.0.2.1`,
/// `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:4711`. An IPv4-mapped address
/// is returned as the IPv4 address in it.
///
/// No other text is an address: not names, quotes, zone ids, ports that are missing after their
/// colon or too large, nor decimal numbers with leading zeros, which some read as octal.
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

/// Checks that the text is empty, or a colon and a port.
fn is_port(text: &str) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    let digits = text.strip_prefix(':')?;
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
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

/// Reads a range, and returns it with the bytes after it.
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
