//! The client that a request is counted for. Limits, and places for connections, go by network.

use sha2::{Digest as _, Sha256};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The mask of an IPv6 network: one client is assigned a /64 and can use any address in it.
const NETWORK: u128 = !0 << 64;

/// A client: an IPv4 address, the /64 of an IPv6 address, or all clients without a known address.
/// An IPv4-mapped address counts as the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientNetwork(Option<IpAddr>);

impl ClientNetwork {
    /// Returns the client of this address.
    pub fn from_address(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
            address => address,
        }))
    }

    /// Returns the digest that identifies the client in the store.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update("latchkey client\0")
            .chain_update(self.to_string())
            .finalize()
            .into()
    }
}

impl fmt::Display for ClientNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(IpAddr::V6(network)) => write!(f, "{network}/64"),
            Some(address) => address.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_of_ipv6_is_a_64() {
        let network =
            |address: &str| ClientNetwork::from_address(Some(address.parse().unwrap())).to_string();
        assert_eq!(network("2001:db8:1:2:ffff::1"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2::"), network("2001:db8:1:2:3:4:5:6"));
        assert_ne!(network("2001:db8:1:2::"), network("2001:db8:1:3::"));
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_eq!(ClientNetwork::from_address(None).to_string(), "unknown");
    }
}
