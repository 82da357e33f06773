//! The rules' paths by host.

use crate::route::fold::Comparable;
use crate::route::rule::Rule;
use crate::route::segment::Segment;
use crate::route::trie::{Entry, Node, Search};
use crate::route::{Target, host};
use std::collections::BTreeMap;

/// The rules' paths by host. Each list is sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Hosts {
    exact: Vec<(Box<str>, Node)>,
    below: Vec<(Box<str>, Node)>,
    any: Option<Node>,
}

impl Hosts {
    /// Creates the index of rules with their segments as they are compared.
    pub(super) fn new(rules: &[Rule], segments: &[Vec<Segment>]) -> Self {
        let (mut exact, mut below) = (BTreeMap::<_, Vec<_>>::new(), BTreeMap::<_, Vec<_>>::new());
        let mut any = Vec::new();

        for (index, (rule, segments)) in rules.iter().zip(segments).enumerate() {
            let entries = match rule.spec().host.as_deref().map(host::Pattern::from_host) {
                Some(host::Pattern::Exact(name)) => exact.entry(name).or_default(),
                Some(host::Pattern::Below(name)) => below.entry(name).or_default(),
                None => &mut any,
            };
            entries.push(Entry::new(index, rule, segments));
        }

        let trees = |hosts: BTreeMap<&str, Vec<Entry<'_>>>| {
            hosts
                .into_iter()
                .filter_map(|(name, entries)| Some((name.into(), Node::from_entries(&entries)?)))
                .collect()
        };

        Self {
            exact: trees(exact),
            below: trees(below),
            any: Node::from_entries(&any),
        }
    }

    /// Returns whether rules name hosts, so that a request's host has to be read.
    pub(super) fn are_named(&self) -> bool {
        !self.exact.is_empty() || !self.below.is_empty()
    }

    /// Looks for the first rule; `None` if the host can be read in more than one way.
    pub(super) fn search<S: Comparable>(
        &self,
        target: &Target<'_>,
        segments: impl Iterator<Item = S> + Clone,
        search: &mut Search<'_>,
    ) -> Option<()> {
        if let Some(node) = &self.any {
            node.search(segments.clone(), search);
        }

        if !self.are_named() {
            // In this case `reads_host` is false.
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

/// Returns the tree of the rules that name this host.
fn tree<'r>(trees: &'r [(Box<str>, Node)], name: &[u8]) -> Option<&'r Node> {
    let at = trees
        .binary_search_by(|(host, _)| host::compare(name, host).reverse())
        .ok()?;
    trees.get(at).map(|(_, node)| node)
}
