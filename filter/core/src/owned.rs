//! Header names that belong to the filter: identity headers, and headers in which route rules look
//! for a subaccount.
//!
//! A client must not reach the upstream with another spelling of these names, which some upstreams
//! take for the name itself ([`latchkey_policy::names`]). Nor must it send a `Connection` header
//! that lists them: the next proxy would remove them then (RFC 9110, section 7.6.1).

use crate::headers::RequestHeaders;
use crate::host::{Host, Refused};
use latchkey_policy::names::{HeaderNames, is_spelling};
use latchkey_policy::route::Routes;

const CONNECTION: &str = "connection";

/// The names as they apply to one request.
#[derive(Debug, Clone, Copy)]
pub struct OwnedNames<'o> {
    identity: &'o HeaderNames,
    subaccounts: &'o HeaderNames,
    /// The header in which the request's own rule looks for a subaccount.
    read: Option<&'o str>,
}

impl<'o> OwnedNames<'o> {
    /// Creates the names of a request to which the route rule with the number `rule` applies.
    #[inline]
    pub fn new(identity: &'o HeaderNames, routes: &'o Routes, rule: Option<usize>) -> Self {
        let read = rule.and_then(|number| routes.subaccount_header(number));
        Self {
            identity,
            subaccounts: routes.subaccount_headers(),
            read,
        }
    }

    /// Removes other spellings of the names from the request's headers, and the names from its
    /// `Connection` header.
    ///
    /// # Errors
    /// Fails if the host does not remove a header.
    pub fn clean_headers(&self, host: &impl Host, headers: &RequestHeaders) -> Result<(), Refused> {
        let mut connection = false;
        for (name, _) in headers.iter() {
            connection |= name == CONNECTION.as_bytes();
            if self.is_other_spelling(name) {
                host.remove_request_header(text(name)?)?;
            }
        }

        if connection
            && let Some(value) = headers.get(CONNECTION)
            && let Some(rest) = self.without_names(&value)
        {
            match rest.as_slice() {
                [] => host.remove_request_header(CONNECTION)?,
                rest => host.set_request_header(CONNECTION, rest)?,
            }
        }
        Ok(())
    }

    /// Removes the names, in any spelling, from the request's trailers.
    ///
    /// # Errors
    /// Fails if the host does not remove a trailer.
    pub fn clean_trailers(
        &self,
        host: &impl Host,
        trailers: &RequestHeaders,
    ) -> Result<(), Refused> {
        let owned = |name: &[u8]| {
            self.identity.has_any_spelling(name) || self.subaccounts.has_any_spelling(name)
        };
        trailers
            .iter()
            .filter(|(name, _)| owned(name))
            .try_for_each(|(name, _)| host.remove_request_trailer(text(name)?))
    }

    /// Returns whether `name` is not one of the names but can be taken for one. A header that
    /// another rule reads is another spelling of the one that this request's rule reads.
    #[inline]
    fn is_other_spelling(&self, name: &[u8]) -> bool {
        if self.identity.has(name) {
            return false;
        }

        let other_than_read = || {
            self.read
                .is_some_and(|read| read.as_bytes() != name && is_spelling(read, name))
        };
        let subaccount = || {
            self.subaccounts.has_any_spelling(name)
                && (!self.subaccounts.has(name) || other_than_read())
        };
        self.identity.has_any_spelling(name) || subaccount()
    }

    /// Returns a `Connection` header's value without the names, empty if it lists nothing else;
    /// `None` if it lists none of them. The other elements stay as they are.
    fn without_names(&self, value: &[u8]) -> Option<Vec<u8>> {
        let owned = |element: &&[u8]| {
            let name = element.trim_ascii();
            self.identity.has_any_spelling(name) || self.subaccounts.has_any_spelling(name)
        };
        let elements = || value.split(|byte| *byte == b',');
        elements().any(|element| owned(&element)).then(|| {
            let kept: Vec<_> = elements().filter(|element| !owned(element)).collect();
            kept.join(&b","[..]).trim_ascii().to_vec()
        })
    }
}

/// Converts a name to text. Names are ASCII, as the host has checked.
#[inline]
fn text(name: &[u8]) -> Result<&str, Refused> {
    std::str::from_utf8(name).map_err(|_| Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(value: &str) -> Option<String> {
        let (identity, subaccounts) = (["x-latchkey-identity", "x-tier"], ["x-sub"]);
        let (identity, subaccounts) = (
            identity.into_iter().collect(),
            subaccounts.into_iter().collect(),
        );
        let owned = OwnedNames {
            identity: &identity,
            subaccounts: &subaccounts,
            read: None,
        };
        owned
            .without_names(value.as_bytes())
            .map(|rest| String::from_utf8(rest).unwrap())
    }

    #[test]
    fn connection_loses_only_the_owned_names() {
        for (value, rest) in [
            ("Upgrade, x-latchkey-identity", "Upgrade"),
            ("X-Latchkey_Identity,Upgrade", "Upgrade"),
            (
                "keep-alive ,\tUpgrade , x.tier,  X-Sub",
                "keep-alive ,\tUpgrade",
            ),
            ("x-tier", ""),
            (" x-tier , x-sub ", ""),
            ("a,,x-tier,b", "a,,b"),
        ] {
            assert_eq!(without(value).as_deref(), Some(rest), "{value}");
        }
        for value in [
            "",
            "Upgrade",
            "keep-alive, Upgrade",
            "x-tiers, x tie",
            "\"x-tier\"",
        ] {
            assert_eq!(without(value), None, "{value}");
        }
    }

    #[test]
    fn another_rules_header_is_another_spelling() {
        let identity: HeaderNames = ["x-tier", "x-latchkey-identity"].into_iter().collect();
        let subaccounts: HeaderNames = ["x-sub", "x_sub", "x_tier"].into_iter().collect();
        let owned = |read| OwnedNames {
            identity: &identity,
            subaccounts: &subaccounts,
            read,
        };
        for (read, other, is_other) in [
            (None, "x-sub", false),
            (None, "x_sub", false),
            (None, "x.sub", true),
            (Some("x-sub"), "x-sub", false),
            (Some("x-sub"), "x_sub", true),
            (Some("x_sub"), "x-sub", true),
            (Some("x_sub"), "x_sub", false),
            (Some("x_tier"), "x_tier", true),
            (None, "x-tier", false),
            (None, "accept", false),
        ] {
            assert_eq!(
                owned(read).is_other_spelling(other.as_bytes()),
                is_other,
                "{read:?}: {other}"
            );
        }
    }
}
