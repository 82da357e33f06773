//! Finding the rule of a request, without looking at all of them.

use super::path::Path;
use super::place::Place;
use super::rule::{PlaceSpec, Rule};
use super::trie::{Entry, Node, Search};
use super::{RouteRecord, Target, Unmatched, host};
use crate::names::HeaderNames;
use crate::permission::Permission;
use crate::token::is_method;
use std::collections::BTreeMap;

/// All rules, as requests use them. None is there by default.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    hosts: Hosts,
    routes: Vec<Route>,
    services: Vec<Box<str>>,
    permissions: Vec<Permission>,
    /// In which requests name a subaccount.
    subaccount_headers: HeaderNames,
    /// Whether a rule names methods.
    by_method: bool,
    unmatched: Unmatched,
    imported: bool,
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
}

impl Match<'_> {
    /// The rule's number, if there is one.
    pub fn number(&self) -> Option<usize> {
        match self {
            Self::Rule(route) => Some(route.number),
            Self::Unmatched(_) | Self::Ambiguous => None,
        }
    }
}

impl Routes {
    /// Prepares rules for being found.
    pub fn compile(record: &RouteRecord) -> Self {
        let mut routes = Self {
            hosts: Hosts::of(record.rules()),
            routes: Vec::new(),
            services: Vec::new(),
            permissions: Vec::new(),
            subaccount_headers: record.rules().iter().filter_map(subaccount_header).collect(),
            by_method: record.rules().iter().any(|rule| rule.spec().methods.is_some()),
            unmatched: record.unmatched(),
            imported: record.imported(),
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
            service: spec.service.as_deref().map(|service| index_of(&mut self.services, service.into())),
            permission: rule.permission().map(|permission| index_of(&mut self.permissions, permission.clone())),
            subaccount: spec.subaccount.as_ref().map(place),
        }
    }

    /// The headers in which rules look for a request's subaccount.
    pub fn subaccount_headers(&self) -> &HeaderNames {
        &self.subaccount_headers
    }

    /// The header in which the rule of that number looks for the request's subaccount, if it looks in one.
    pub fn subaccount_header(&self, number: usize) -> Option<&str> {
        match &self.routes.get(number.checked_sub(1)?)?.access {
            Access::Key { subaccount: Some(Place::Header(name)), .. } => Some(name),
            _ => None,
        }
    }

    /// Whether all requests need a valid key and nothing more, so that none has to be looked at.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.unmatched == Unmatched::ValidKey
    }

    /// Whether there are imported keys, so that one can have any form.
    pub fn imported(&self) -> bool {
        self.imported
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
        let mut search = Search::new(target.method);
        if self.hosts.search(target, &mut search).is_none() {
            return Match::Ambiguous;
        }
        search.found.and_then(|at| self.routes.get(at)).map_or(Match::Unmatched(self.unmatched), Match::Rule)
    }
}

impl Hosts {
    fn of(rules: &[Rule]) -> Self {
        let (mut exact, mut below) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        let mut any = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            let entries = match rule.spec().host.as_deref().map(host::Pattern::of) {
                Some(host::Pattern::Exact(name)) => exact.entry(name).or_default(),
                Some(host::Pattern::Below(name)) => below.entry(name).or_default(),
                None => &mut any,
            };
            entries.push(Entry::new(index, rule));
        }
        let trees = |hosts: BTreeMap<&str, Vec<Entry<'_>>>| {
            hosts.into_iter().filter_map(|(name, entries)| Some((name.into(), Node::of(&entries)?))).collect()
        };
        Self { exact: trees(exact), below: trees(below), any: Node::of(&any) }
    }

    /// Looks for the first rule; `None` if host or path can be read in more than one way.
    fn search(&self, target: &Target<'_>, search: &mut Search<'_>) -> Option<()> {
        let path = Path::read(target.path).ok()?;
        if let Some(node) = &self.any {
            node.search(path.segments(), search);
        }
        if self.exact.is_empty() && self.below.is_empty() {
            // Then `reads_host` is false.
            return Some(());
        }
        let name = host::read(target.host)?;
        if let Some(node) = tree(&self.exact, name) {
            node.search(path.segments(), search);
        }
        if !self.below.is_empty() {
            for node in host::parents(name).filter_map(|parent| tree(&self.below, parent)) {
                node.search(path.segments(), search);
            }
        }
        Some(())
    }
}

fn tree<'r>(trees: &'r [(Box<str>, Node)], name: &[u8]) -> Option<&'r Node> {
    let at = trees.binary_search_by(|(host, _)| host::compare(name, host).reverse()).ok()?;
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
