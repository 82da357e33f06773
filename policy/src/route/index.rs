//! Finding the rule of a request, without looking at all of them.

use super::fold::{self, Comparable, Fold};
use super::path::Path;
use super::place::Place;
use super::rule::{PlaceSpec, Rule};
use super::segment::Segment;
use super::trie::{Entry, Node, Search};
use super::{PathCase, RouteRecord, Target, Unmatched, host};
use crate::names::HeaderNames;
use crate::permission::Permission;
use crate::token::is_method;
use std::collections::BTreeMap;
use std::num::NonZeroU16;

/// All rules, as requests use them. None is there by default.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    path_case: PathCase,
    /// With paths as they are written; with [`PathCase::Ignore`] in lower case.
    hosts: Hosts,
    /// With folded paths, if they are others.
    folded: Option<Hosts>,
    routes: Vec<Route>,
    services: Vec<Box<str>>,
    permissions: Vec<Permission>,
    /// In which requests name a subaccount.
    subaccount_headers: HeaderNames,
    /// Whether a rule names methods.
    by_method: bool,
    unmatched: Unmatched,
}

fn subaccount_header(rule: &Rule) -> Option<Box<str>> {
    match rule.spec().subaccount.as_ref()? {
        PlaceSpec::Header(name) => Some(name.as_str().into()),
        PlaceSpec::Path(_) | PlaceSpec::Query(_) => None,
    }
}

/// The rules' paths by host. Each list is sorted.
#[derive(Debug, Clone, Default)]
struct Hosts {
    exact: Vec<(Box<str>, Node)>,
    below: Vec<(Box<str>, Node)>,
    any: Option<Node>,
}

/// A rule that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The rule's, as people count: from 1.
    pub number: usize,
    /// What it asks for.
    pub access: Access,
}

/// What a rule asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A valid key.
    Key {
        /// Which service it has to be good for, as an index into [`Routes::services`].
        service: Option<usize>,
        /// What it has to be allowed, as an index into [`Routes::permissions`].
        permission: Option<usize>,
        /// Where the request names a subaccount.
        subaccount: Option<Place>,
    },
}

/// What was found for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match<'r> {
    /// The first rule that matches.
    Rule(&'r Route),
    /// None does.
    Unmatched(Unmatched),
    /// Its host, its method or its path can be read in more than one way.
    Ambiguous,
    /// Upstreams that ignore letter case, or dots and blanks at a segment's end, take its path for
    /// one of which another rule asks for something else.
    Disputed {
        /// The number of the first rule that matches the path as it came, if one does.
        written: Option<NonZeroU16>,
        /// The number of the first rule that matches it then.
        folded: Option<NonZeroU16>,
    },
}

impl Match<'_> {
    /// The rule's number, if there is one.
    pub fn number(&self) -> Option<usize> {
        match self {
            Self::Rule(route) => Some(route.number),
            Self::Unmatched(_) | Self::Ambiguous | Self::Disputed { .. } => None,
        }
    }

    /// Whether it asks for the same as another.
    fn asks_for_the_same(&self, other: &Self) -> bool {
        self == other
            || self
                .needs()
                .is_some_and(|needs| other.needs() == Some(needs))
    }

    /// What it asks for; `None` if it is refused.
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

/// What a request has to have, whichever rule says so.
#[derive(Default, PartialEq, Eq)]
struct Needs<'m> {
    public: bool,
    service: Option<usize>,
    permission: Option<usize>,
    subaccount: Option<&'m Place>,
}

impl Routes {
    /// Prepares rules for being found.
    pub fn compile(record: &RouteRecord) -> Self {
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
            hosts: Hosts::of(rules, &first),
            folded: second
                .filter(|second| *second != first)
                .map(|second| Hosts::of(rules, &second)),
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
        let place = |place: &PlaceSpec| match place {
            PlaceSpec::Header(name) => Place::Header(name.as_str().into()),
            // A valid rule has it; a place that no path has is never read.
            PlaceSpec::Path(name) => Place::Path(rule.position(name).unwrap_or(usize::MAX)),
            PlaceSpec::Query(name) => Place::Query(name.as_str().into()),
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

    /// The headers in which rules look for a request's subaccount.
    pub fn subaccount_headers(&self) -> &HeaderNames {
        &self.subaccount_headers
    }

    /// The header in which the rule of that number looks for the request's subaccount, if it looks
    /// in one.
    pub fn subaccount_header(&self, number: usize) -> Option<&str> {
        match &self.routes.get(number.checked_sub(1)?)?.access {
            Access::Key {
                subaccount: Some(Place::Header(name)),
                ..
            } => Some(name),
            _ => None,
        }
    }

    /// Whether all requests need a valid key and nothing more, so that none has to be looked at.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.unmatched == Unmatched::ValidKey
    }

    /// Whether it matters which host a request is for.
    pub fn reads_host(&self) -> bool {
        !self.hosts.exact.is_empty() || !self.hosts.below.is_empty()
    }

    /// Whether it matters which method a request has.
    pub fn reads_method(&self) -> bool {
        self.by_method
    }

    /// The services that rules name, each once.
    pub fn services(&self) -> &[Box<str>] {
        &self.services
    }

    /// The permissions that rules ask for, each once.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    /// The rule of a request. Allocates nothing.
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

    /// What was found for the path, if the folded path is found to need the same. Of most requests
    /// nobody has to ask.
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
        // Small, so that all that is found stays small. There are no more rules than this.
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

    /// The first rule of a path with these segments.
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

impl Hosts {
    /// Of rules, and of their segments as they are compared.
    fn of(rules: &[Rule], segments: &[Vec<Segment>]) -> Self {
        let (mut exact, mut below) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        let mut any = Vec::new();
        for (index, (rule, segments)) in rules.iter().zip(segments).enumerate() {
            let entries = match rule.spec().host.as_deref().map(host::Pattern::of) {
                Some(host::Pattern::Exact(name)) => exact.entry(name).or_default(),
                Some(host::Pattern::Below(name)) => below.entry(name).or_default(),
                None => &mut any,
            };
            entries.push(Entry::new(index, rule, segments));
        }
        let trees = |hosts: BTreeMap<&str, Vec<Entry<'_>>>| {
            hosts
                .into_iter()
                .filter_map(|(name, entries)| Some((name.into(), Node::of(&entries)?)))
                .collect()
        };
        Self {
            exact: trees(exact),
            below: trees(below),
            any: Node::of(&any),
        }
    }

    /// Looks for the first rule; `None` if the host can be read in more than one way.
    fn search<S: Comparable>(
        &self,
        target: &Target<'_>,
        segments: impl Iterator<Item = S> + Clone,
        search: &mut Search<'_>,
    ) -> Option<()> {
        if let Some(node) = &self.any {
            node.search(segments.clone(), search);
        }
        if self.exact.is_empty() && self.below.is_empty() {
            // Then `reads_host` is false.
            return Some(());
        }
        let name = host::read(target.host)?;
        if let Some(node) = tree(&self.exact, name) {
            node.search(segments.clone(), search);
        }
        if !self.below.is_empty() {
            for node in host::parents(name).filter_map(|parent| tree(&self.below, parent)) {
                node.search(segments.clone(), search);
            }
        }
        Some(())
    }
}

fn tree<'r>(trees: &'r [(Box<str>, Node)], name: &[u8]) -> Option<&'r Node> {
    let at = trees
        .binary_search_by(|(host, _)| host::compare(name, host).reverse())
        .ok()?;
    trees.get(at).map(|(_, node)| node)
}

/// Where `value` is in `all`; it is added if it is not there.
fn index_of<T: PartialEq>(all: &mut Vec<T>, value: T) -> usize {
    all.iter().position(|one| *one == value).unwrap_or_else(|| {
        all.push(value);
        all.len().saturating_sub(1)
    })
}

#[cfg(test)]
mod tests;
