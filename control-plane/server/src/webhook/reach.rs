//! The allowed destinations of webhooks: a caller who sets a URL must not reach services that only
//! this host can reach.
//!
//! A URL is checked when it is set and before each use. The addresses of a name are checked when
//! the connection is made, so the name cannot change to another address in between.

use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The maximum length of a URL, in bytes.
const MAX_URL_LEN: usize = 2_048;

/// The destinations that webhooks may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowedDestinations {
    /// Only public addresses, with TLS.
    Public,
    /// All addresses, for tests and private networks.
    Private,
}

impl AllowedDestinations {
    /// Parses a URL and checks that it is allowed. The error continues a sentence that starts with
    /// the field's name, as in "must be …".
    pub fn check(self, text: &str) -> Result<Url, &'static str> {
        if text.len() > MAX_URL_LEN {
            return Err("must have at most 2048 bytes");
        }

        let url = Url::parse(text).map_err(|_| "must be a URL")?;
        match (url.scheme(), self) {
            ("https", _) | ("http", Self::Private) => {}
            (_, Self::Public) => return Err("must begin with https://"),
            (_, Self::Private) => return Err("must begin with https:// or http://"),
        }

        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not have a user name or a password in it");
        }
        if url.fragment().is_some() {
            return Err("must not have a fragment");
        }

        match literal(&url) {
            Some(address) if !self.admits(address) => {
                Err("must not be a private or reserved address")
            }
            _ => Ok(url),
        }
    }

    /// Returns whether the address is allowed.
    pub(crate) fn admits(self, address: IpAddr) -> bool {
        self == Self::Private || is_public(address)
    }
}

/// Returns the URL's host, if it is an address and not a name.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

/// Returns whether an address is public, by IANA's registries of special-purpose addresses, and not
/// one that a cloud provider answers only for its own machines.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        // This network, private, loopback, link-local.
        [0 | 10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..]
        // Carrier-grade NAT, benchmarks.
        | [100, 64..=127, ..] | [198, 18 | 19, ..]
        // Protocol assignments, 6to4 relays, documentation.
        | [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 51, 100, _] | [203, 0, 113, _]
        // Multicast, reserved, broadcast.
        | [224..=255, ..]
        // Public by the registries, but answered inside a cloud: Azure's host and Equinix Metal's
        // metadata service, and IBM Cloud's service network.
        | [168, 63, 129, 16] | [192, 80, 8, 124] | [161, 26, ..] | [166, 8..=11, ..]
    )
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped().or_else(|| translated(address)) {
        return is_public_v4(inner);
    }

    match address.segments() {
        // ISATAP: an IPv4 address after a prefix of any network.
        [.., 0 | 0x200, 0x5efe, _, _] => false,
        // Protocol assignments with Teredo, documentation, 6to4.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] | [0x2002, ..] => false,
        // Global unicast. All else is unspecified, loopback, unique-local, link-local, multicast,
        // or not assigned.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// Returns the IPv4 address in an IPv6 address that is translated for hosts with only IPv6, by RFC
/// 6052's well-known prefix.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] = address.octets() else {
        return None;
    };
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        let private = "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.0.1 \
            169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 \
            198.19.255.255 198.51.100.1 203.0.113.9 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 :: ::1 \
            ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::7f00:1 64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 \
            fc00::1 fd12:3456::1 fe80::1 fec0::1 ff02::1 2001::1 2001:1ff::1 2001:db8::1 2002:7f00:1::1 3fff::1 4000::1";
        for text in private.split_whitespace() {
            let address = text.parse().unwrap();
            assert!(
                !AllowedDestinations::Public.admits(address)
                    && AllowedDestinations::Private.admits(address),
                "{text}"
            );
        }

        let public = "1.1.1.1 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 \
            192.167.1.1 198.17.0.1 198.20.0.1 223.255.255.255 ::ffff:1.1.1.1 64:ff9b::1.1.1.1 2001:200::1 \
            2606:4700:4700::1111 2a00:1450::1";
        for text in public.split_whitespace() {
            assert!(
                AllowedDestinations::Public.admits(text.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn metadata_services_of_clouds_are_refused() {
        for (address, cloud) in [
            ("169.254.169.254", "most"),
            ("169.254.170.2", "AWS, of containers"),
            ("169.254.170.23", "AWS, of pods"),
            ("169.254.0.23", "Tencent"),
            ("169.254.42.42", "Scaleway"),
            ("168.63.129.16", "Azure, the host"),
            ("100.100.100.200", "Alibaba"),
            ("100.88.222.5", "Tencent, older"),
            ("192.0.0.192", "Oracle"),
            ("192.80.8.124", "Equinix Metal"),
            ("161.26.0.10", "IBM, services"),
            ("166.8.0.1", "IBM, endpoints"),
            ("166.11.255.255", "IBM, endpoints"),
        ] {
            let v4: Ipv4Addr = address.parse().unwrap();
            let [a, b, c, d] = v4.octets();
            let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let inside = |text: &str| {
                text.replace("HHHH", &format!("{high:x}"))
                    .replace("LLLL", &format!("{low:x}"))
            };
            for form in [
                "::ffff:HHHH:LLLL",
                "::HHHH:LLLL",
                "64:ff9b::HHHH:LLLL",
                "64:ff9b:1::HHHH:LLLL",
                "2002:HHHH:LLLL::1",
                "2001:0:HHHH:LLLL::1",
                "2a00:1450::5efe:HHHH:LLLL",
                "2a00:1450::200:5efe:HHHH:LLLL",
            ] {
                let written = inside(form);
                assert!(
                    !AllowedDestinations::Public.admits(written.parse().unwrap()),
                    "{cloud}: {written}"
                );
                assert!(
                    AllowedDestinations::Public
                        .check(&format!("https://[{written}]/"))
                        .is_err(),
                    "{cloud}: {written}"
                );
            }
            assert!(
                !AllowedDestinations::Public.admits(v4.into())
                    && AllowedDestinations::Private.admits(v4.into()),
                "{cloud}: {address}"
            );
            let number = u32::from(v4);
            for written in [
                address.to_owned(),
                number.to_string(),
                format!("{number:#x}"),
                format!("{address}."),
            ] {
                assert!(
                    AllowedDestinations::Public
                        .check(&format!("https://{written}/"))
                        .is_err(),
                    "{cloud}: {written}"
                );
            }
        }

        for (address, cloud) in [
            ("fd00:ec2::254", "AWS"),
            ("fd00:ec2::23", "AWS, of pods"),
            ("fd20:ce::254", "Google"),
            ("fd00:42::42", "Scaleway"),
            ("fe80::a9fe:a9fe", "OpenStack"),
        ] {
            assert!(
                !AllowedDestinations::Public.admits(address.parse().unwrap()),
                "{cloud}: {address}"
            );
        }

        for neighbour in [
            "168.63.129.15",
            "168.63.129.17",
            "192.80.8.123",
            "161.25.255.255",
            "161.27.0.0",
            "166.7.255.255",
            "166.12.0.0",
            "2a00:1450::5eff:a83f:8110",
        ] {
            assert!(
                AllowedDestinations::Public.admits(neighbour.parse().unwrap()),
                "{neighbour}"
            );
        }
    }

    #[test]
    fn urls_must_be_encrypted_and_public() {
        let check = |text: &str| AllowedDestinations::Public.check(text).map(String::from);
        assert_eq!(
            check("https://Example.com"),
            Ok("https://example.com/".to_owned())
        );
        assert!(check("https://example.com:8443/hooks?a=b").is_ok());
        assert!(check("https://[2606:4700:4700::1111]/").is_ok());

        // A name is resolved only when it is used.
        assert!(check("https://localhost/").is_ok());
        for (refused, reason) in [
            ("example.com", "must be a URL"),
            ("https://", "must be a URL"),
            ("http://example.com/", "must begin with https://"),
            ("ftp://example.com/", "must begin with https://"),
            (
                "https://user@example.com/",
                "must not have a user name or a password in it",
            ),
            (
                "https://:secret@example.com/",
                "must not have a user name or a password in it",
            ),
            ("https://example.com/#part", "must not have a fragment"),
            (
                &format!("https://example.com/{}", "x".repeat(2_048)),
                "must have at most 2048 bytes",
            ),
        ] {
            assert_eq!(check(refused), Err(reason), "{refused}");
        }

        // All notations of an address are refused.
        for refused in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "[::1]",
            "[::ffff:10.0.0.1]",
        ] {
            let expected = Err("must not be a private or reserved address");
            assert_eq!(
                check(&format!("https://{refused}:8443/")),
                expected,
                "{refused}"
            );
        }

        let private = |text| AllowedDestinations::Private.check(text);
        assert!(private("http://127.0.0.1:8080/").is_ok() && private("https://10.0.0.1/").is_ok());
        assert_eq!(
            private("ftp://example.com/").unwrap_err(),
            "must begin with https:// or http://"
        );
    }
}
