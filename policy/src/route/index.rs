//! Finding the rule of a request, without a check of all rules.

mod hosts;

use super::fold::{self, Comparable, Fold};
use super::location::SubaccountLocation;
use super::path::Path;
use super::rule::{Rule, SubaccountLocationSpec};
use super::trie::Search;
use super::{PathCase, RouteRules, Target, Unmatched};
use crate::names::HeaderNames;
use crate::permission::Permission;
use crate::token::is_method;
use hosts::Hosts;
use std::num::NonZeroU16;

/// All rules, compiled for requests. There are none by default.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    path_case: PathCase,
    /// The paths as they are written; with [`PathCase::Ignore`] in lower case.
    hosts: Hosts,
    /// The folded paths, if they differ.
    folded: Option<Hosts>,
    routes: Vec<Route>,
    services: Vec<Box<str>>,
    permissions: Vec<Permission>,
    /// The headers in which requests name a subaccount.
    subaccount_headers: HeaderNames,
    /// True if a rule names methods.
    by_method: bool,
    unmatched: Unmatched,
}

fn subaccount_header(rule: &Rule) -> Option<Box<str>> {
    match rule.spec().subaccount.as_ref()? {
        SubaccountLocationSpec::Header(name) => Some(name.as_str().into()),
        SubaccountLocationSpec::Path(_) | SubaccountLocationSpec::Query(_) => None,
    }
}

/// A rule that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The rule's number, counted from 1.
    pub number: usize,
    /// The rule's requirements.
    pub access: Access,
}

/// The requirements of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// No key.
    Public,
    /// A valid key.
    Key {
        /// The service that the key has to be for, as an index into [`Routes::services`].
        service: Option<usize>,
        /// The permission that the key needs, as an index into [`Routes::permissions`].
        permission: Option<usize>,
        /// The location in which the request names a subaccount.
        subaccount: Option<SubaccountLocation>,
    },
}

/// The result of the search for a request's rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'r> {
    /// The first rule that matches.
    Rule(&'r Route),
    /// No rule matches.
    Unmatched(Unmatched),
    /// Its host, its method or its path can be read in more than one way.
    Ambiguous,
    /// Upstreams that ignore letter case, or dots and blanks at a segment's end, take its path for
    /// a path whose rule has different requirements.
    Disputed {
        /// The number of the first rule that matches the path as it came, if any.
        written: Option<NonZeroU16>,
        /// The number of the first rule that matches the path as such upstreams read it.
        folded: Option<NonZeroU16>,
    },
}

impl Match<'_> {
    /// Returns the rule's number, if there is one.
    pub fn number(&self) -> Option<usize> {
        match self {
            Self::Rule(route) => Some(route.number),
            Self::Unmatched(_) | Self::Ambiguous | Self::Disputed { .. } => None,
        }
    }

    /// Returns whether both have the same requirements.
    fn asks_for_the_same(&self, other: &Self) -> bool {
        self == other
            || self
                .needs()
                .is_some_and(|needs| other.needs() == Some(needs))
    }

    /// Returns the requirements; `None` if the request is refused.
    fn needs(&self) -> Option<Needs<'_>> {
        match self {
            Self::Rule(Route {
                access: Access::Public,
                ..
            }) => Some(Needs {
                public: true,
                ..Needs::default()
            }),
            Self::Rule(Route {
                access:
                    Access::Key {
                        service,
                        permission,
                        subaccount,
                    },
                ..
            }) => {
                let (service, permission, subaccount) =
                    (*service, *permission, subaccount.as_ref());
                Some(Needs {
                    public: false,
                    service,
                    permission,
                    subaccount,
                })
            }
            Self::Unmatched(Unmatched::ValidKey) => Some(Needs::default()),
            Self::Unmatched(Unmatched::Deny) | Self::Ambiguous | Self::Disputed { .. } => None,
        }
    }
}

/// The requirements of a request, independent of the rule that they come from.
#[derive(Default, PartialEq, Eq)]
struct Needs<'m> {
    public: bool,
    service: Option<usize>,
    permission: Option<usize>,
    subaccount: Option<&'m SubaccountLocation>,
}

impl Routes {
    /// Compiles rules for the search.
    pub fn compile(record: &RouteRules) -> Self {
        let rules = record.rules();
        let written = || {
            rules
                .iter()
                .map(|rule| rule.segments().to_vec())
                .collect::<Vec<_>>()
        };

        let folded = |fold| {
            rules
                .iter()
                .map(|rule| fold::segments(rule.segments(), fold))
                .collect::<Vec<_>>()
        };

        let (first, second) = match record.path_case() {
            PathCase::Distinct => (written(), None),
            PathCase::Refuse => (written(), Some(folded(Fold::CaseAndEnd))),
            PathCase::Ignore => (folded(Fold::Case), Some(folded(Fold::CaseAndEnd))),
        };

        let mut routes = Self {
            path_case: record.path_case(),
            hosts: Hosts::new(rules, &first),
            folded: second
                .filter(|second| *second != first)
                .map(|second| Hosts::new(rules, &second)),
            routes: Vec::new(),
            services: Vec::new(),
            permissions: Vec::new(),
            subaccount_headers: record
                .rules()
                .iter()
                .filter_map(subaccount_header)
                .collect(),
            by_method: record
                .rules()
                .iter()
                .any(|rule| rule.spec().methods.is_some()),
            unmatched: record.unmatched(),
        };

        for (number, rule) in (1..).zip(record.rules()) {
            let access = routes.access(rule);
            routes.routes.push(Route { number, access });
        }

        routes
    }

    fn access(&mut self, rule: &Rule) -> Access {
        let spec = rule.spec();
        if spec.public {
            return Access::Public;
        }

        let place = |place: &SubaccountLocationSpec| match place {
            SubaccountLocationSpec::Header(name) => {
                SubaccountLocation::Header(name.as_str().into())
            }
            // A valid rule has this parameter; a place that no path has is never read.
            SubaccountLocationSpec::Path(name) => {
                SubaccountLocation::Path(rule.position(name).unwrap_or(usize::MAX))
            }
            SubaccountLocationSpec::Query(name) => SubaccountLocation::Query(name.as_str().into()),
        };

        Access::Key {
            service: spec
                .service
                .as_deref()
                .map(|service| index_of(&mut self.services, service.into())),
            permission: rule
                .permission()
                .map(|permission| index_of(&mut self.permissions, permission.clone())),
            subaccount: spec.subaccount.as_ref().map(place),
        }
    }

    /// Returns the headers in which rules look for a request's subaccount.
    pub fn subaccount_headers(&self) -> &HeaderNames {
        &self.subaccount_headers
    }

    /// Returns the header in which the rule of that number looks for the request's subaccount, if
    /// it looks in one.
    pub fn subaccount_header(&self, number: usize) -> Option<&str> {
        match &self.routes.get(number.checked_sub(1)?)?.access {
            Access::Key {
                subaccount: Some(SubaccountLocation::Header(name)),
                ..
            } => Some(name),
            _ => None,
        }
    }

    /// Returns whether all requests only need a valid key, so that no request has to be read.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.unmatched == Unmatched::ValidKey
    }

    /// Returns whether rules depend on a request's host.
    pub fn reads_host(&self) -> bool {
        self.hosts.are_named()
    }

    /// Returns whether rules depend on a request's method.
    pub fn reads_method(&self) -> bool {
        self.by_method
    }

    /// Returns the services that rules name, each once.
    pub fn services(&self) -> &[Box<str>] {
        &self.services
    }

    /// Returns the permissions that rules require, each once.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// Finds the rule of a request. Allocates nothing.
    pub fn find(&self, target: &Target<'_>) -> Match<'_> {
        if self.is_empty() {
            return Match::Unmatched(self.unmatched);
        }

        if self.by_method && !is_method(target.method) {
            return Match::Ambiguous;
        }

        let Ok(path) = Path::read(target.path) else {
            return Match::Ambiguous;
        };

        let written = if self.path_case == PathCase::Ignore && !path.is_folded() {
            self.search(&self.hosts, target, path.folded_segments(Fold::Case))
        } else {
            self.search(&self.hosts, target, path.segments())
        };

        if self.path_case == PathCase::Distinct || (path.is_folded() && self.folded.is_none()) {
            return written;
        }

        self.unless_disputed(written, target, path)
    }

    /// Returns the result for the path, or a dispute if the folded path has different requirements.
    /// Most requests do not need this second search.
    #[cold]
    fn unless_disputed<'r>(
        &'r self,
        written: Match<'r>,
        target: &Target<'_>,
        path: Path<'_>,
    ) -> Match<'r> {
        let hosts = self.folded.as_ref().unwrap_or(&self.hosts);
        let folded = self.search(hosts, target, path.folded_segments(Fold::CaseAndEnd));
        if written.asks_for_the_same(&folded) {
            return written;
        }

        // A small type keeps `Match` small. The number of rules fits into it.
        let number = |found: &Match<'_>| {
            found
                .number()
                .and_then(|number| u16::try_from(number).ok()?.try_into().ok())
        };

        Match::Disputed {
            written: number(&written),
            folded: number(&folded),
        }
    }

    /// Finds the first rule of a path with these segments.
    fn search<S: Comparable>(
        &self,
        hosts: &Hosts,
        target: &Target<'_>,
        segments: impl Iterator<Item = S> + Clone,
    ) -> Match<'_> {
        let mut search = Search::new(target.method);
        if hosts.search(target, segments, &mut search).is_none() {
            return Match::Ambiguous;
        }
        search
            .found
            .and_then(|at| self.routes.get(at))
            .map_or(Match::Unmatched(self.unmatched), Match::Rule)
    }
}

/// Returns the index of `value` in `all`; it is added if it is not there.
fn index_of<T: PartialEq>(all: &mut Vec<T>, value: T) -> usize {
    all.iter().position(|one| *one == value).unwrap_or_else(|| {
        all.push(value);
        all.len().saturating_sub(1)
    })
}

#[cfg(test)]
mod tests;
