//! Route rules: the requirements of a request, by its host, its method and its path.
//!
//! Rules are ordered, and the first that matches wins. A request that its later readers (Envoy's
//! router, the upstream, proxies between them) may read in more than one way matches no rule at
//! all, not even a public one.
//!
//! # Path
//! A request's path is the part before the first `?`; a rule's is read in the same way. It begins
//! with `/`, and one slash at its end is ignored. Escapes are decoded once, and the decoded
//! segments are compared. [`Ambiguity`] lists what is refused. A rule is for exactly one path, for
//! all below one (`/v4/zones` and `/v4/zones/7`, not `/v4/zonesx`), or for all of a template:
//! `{name}` is any one segment.
//!
//! Upstreams differ in whether they ignore letter case, and dots and blanks at a segment's end.
//! [`PathCase`] sets how such paths are handled. With `refuse` a rule is looked for twice: for the
//! path as it came, and for the folded path among folded rules (`fold`). A request whose two rules
//! have different requirements is [disputed](Match::Disputed). With `ignore` the first of both
//! ignores case. Values are always read from the path as it came.
//!
//! # Host
//! Hosts are compared in any case, without the port and one dot at the end. A rule is for one host,
//! for all below one (`*.example.com` is one label more or several), or for all. A request's host
//! is read only if a rule names one; a host that is neither a name nor an address then counts as
//! ambiguous.
//!
//! # Method
//! Methods are compared as they are. If a rule names methods, a method with small letters counts as
//! ambiguous, since some upstreams read `delete` as `DELETE`; methods in rules are in capitals. A
//! rule for `GET` is for `HEAD` as well.
//!
//! | module | owns |
//! |---|---|
//! | `rule` | what a valid rule is |
//! | `path`, `host` | how both are read |
//! | `fold` | paths without letter case, and dots and blanks at the end |
//! | `overlap` | which rules meet others that differ only by that |
//! | `index`, `trie` | finding a request's rule |
//! | `location` | where a request names its subaccount |
//! | `codec` | the rules in the record of the settings |

mod codec;
mod fold;
mod host;
mod index;
mod location;
mod overlap;
mod path;
mod rule;
mod segment;
mod trie;

use std::collections::BTreeMap;

pub use crate::percent::Text;
pub use index::{Access, Match, Route, Routes};
pub use location::{Named, SubaccountLocation};
pub use overlap::Affected;
pub use path::Ambiguity;
pub use rule::{PathSpec, Rule, RuleSpec, SubaccountLocationSpec};

/// The highest number of rules in one document.
pub const MAX_RULES: usize = 1000;

/// An error in one field of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldError {
    /// The field's path in the rule, such as `path.template`.
    pub field: &'static str,
    /// The error as a predicate: `must …`, `has …`.
    pub reason: String,
}

/// The treatment of a request that no rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unmatched {
    /// The request only needs a valid key.
    #[default]
    ValidKey,
    /// The request is out of every key's scope.
    Deny,
}

/// The treatment of paths that differ from a rule's by letter case, or by dots and blanks at a
/// segment's end: many upstreams take them for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathCase {
    /// Requests that fall under another rule when case, dots and blanks are ignored are refused.
    #[default]
    Refuse,
    /// Rules apply in any case.
    Ignore,
    /// Such paths are different paths, as they were in format 3.
    Distinct,
}

/// The parts of a request that rules are matched with, as they came.
#[derive(Debug, Clone, Copy)]
pub struct Target<'t> {
    /// `:authority`, or `Host`. Read only if [`Routes::reads_host`] is true.
    pub host: &'t [u8],
    /// `:method`. Read only if [`Routes::reads_method`] is true.
    pub method: &'t [u8],
    /// `:path`, the query included.
    pub path: &'t [u8],
}

impl Target<'_> {
    /// Returns the reason why the path can be read in more than one way, if it can. This is for
    /// people: [`Routes::find`] does not need it.
    pub fn ambiguity(&self) -> Option<Ambiguity> {
        path::Path::read(self.path).err()
    }
}

/// All rules, in their order. There are none by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteRules {
    rules: Vec<Rule>,
    unmatched: Unmatched,
    path_case: PathCase,
}

impl RouteRules {
    /// Creates the record from rules in order, with the default [`PathCase`]. The error is the
    /// first one, with the index of its rule.
    pub fn new(rules: Vec<Rule>, unmatched: Unmatched) -> Result<Self, (usize, FieldError)> {
        Self::with_path_case(PathCase::default(), rules, unmatched)
    }

    /// Creates the record from rules in order. The error is the first one, with the index of its
    /// rule.
    pub fn with_path_case(
        path_case: PathCase,
        rules: Vec<Rule>,
        unmatched: Unmatched,
    ) -> Result<Self, (usize, FieldError)> {
        if rules.len() > MAX_RULES {
            let reason = format!("must be at most {MAX_RULES}");
            return Err((
                MAX_RULES,
                FieldError {
                    field: "rules",
                    reason,
                },
            ));
        }

        let at_path = |at, reason| {
            (
                at,
                FieldError {
                    field: "path",
                    reason,
                },
            )
        };

        if let Some((earlier, at)) =
            first_repeated(rules.iter().map(|rule| rule.matched(rule.segments())))
        {
            let number = earlier.saturating_add(1);
            return Err(at_path(
                at,
                format!("is never reached: rule {number} has the same host, methods and path"),
            ));
        }
        if path_case != PathCase::Distinct {
            let folded: Vec<_> = rules
                .iter()
                .map(|rule| fold::segments(rule.segments(), fold::Fold::CaseAndEnd))
                .collect();
            let matched = rules
                .iter()
                .zip(&folded)
                .map(|(rule, segments)| rule.matched(segments));
            if let Some((earlier, at)) = first_repeated(matched) {
                let reason = format!(
                    "differs from that of rule {} only by letter case, or by dots and spaces at \
                     the end of a segment; set `path_case` to `distinct` to distinguish them",
                    earlier.saturating_add(1)
                );
                return Err(at_path(at, reason));
            }
        }

        Ok(Self {
            rules,
            unmatched,
            path_case,
        })
    }

    /// Returns the rules, in the order in which they are tried.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns the treatment of a request that no rule matches.
    pub fn unmatched(&self) -> Unmatched {
        self.unmatched
    }

    /// Returns the treatment of paths that differ by letter case.
    pub fn path_case(&self) -> PathCase {
        self.path_case
    }
}

/// Returns the first value that was there before, by the indexes of both.
fn first_repeated<T: Ord>(values: impl Iterator<Item = T>) -> Option<(usize, usize)> {
    let mut seen = BTreeMap::new();
    values
        .enumerate()
        .find_map(|(at, value)| seen.insert(value, at).map(|earlier| (earlier, at)))
}

#[cfg(test)]
mod tests;
