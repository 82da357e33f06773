//! The words in which a trace describes rules and addresses.

use super::route_target::RouteTarget;
use crate::route::{Match, Route, Unmatched};
use std::net::IpAddr;
use std::num::NonZeroU16;

/// Describes the search for a rule and its result.
pub(super) fn described(matched: &Match<'_>, target: Option<&RouteTarget<'_>>) -> String {
    match matched {
        Match::Rule(Route { number, .. }) => format!("rule {number} applies"),
        Match::Unmatched(Unmatched::ValidKey) => {
            "no rule applies: a valid key is enough".to_owned()
        }
        Match::Unmatched(Unmatched::Deny) => {
            "no rule applies, and such requests are denied".to_owned()
        }
        Match::Disputed { written, folded } => {
            let rule = |number: &Option<NonZeroU16>| {
                number.map_or("no rule".to_owned(), |number| format!("rule {number}"))
            };
            format!(
                "{} applies to the path as written, {} if letter case, and dots and spaces at the \
                 end of a segment, are ignored: they have different requirements, so neither \
                 applies",
                rule(written),
                rule(folded)
            )
        }
        Match::Ambiguous => match target.and_then(|target| target.as_target().ambiguity()) {
            Some(ambiguity) => format!("the path {ambiguity}, so no rule applies"),
            None => {
                "host or method can be read in more than one way, so no rule applies".to_owned()
            }
        },
    }
}

/// Describes a client's address.
pub(super) fn shown(address: Option<IpAddr>) -> String {
    address.map_or("an unknown address".to_owned(), |address| {
        address.to_string()
    })
}
