//! The paths of rules for the same hosts, as a tree of segments.

use super::fold::Comparable;
use super::rule::Rule;
use super::segment::Segment;
use std::collections::BTreeMap;

/// One rule on its way into the tree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'r> {
    rule: &'r Rule,
    /// The number of rules before this one.
    index: usize,
    /// The rest of the rule's path.
    segments: &'r [Segment],
}

impl<'r> Entry<'r> {
    /// Creates the entry of a rule, with its segments as they are compared.
    pub(super) fn new(index: usize, rule: &'r Rule, segments: &'r [Segment]) -> Self {
        Self {
            rule,
            index,
            segments,
        }
    }
}

/// The rest of some paths, without the segments above this node.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The first rule here or below.
    first: usize,
    /// Literal segments, sorted.
    literals: Vec<(Box<str>, Node)>,
    /// A parameter.
    parameter: Option<Box<Node>>,
    /// The rules whose path ends here, in their order.
    ends: Vec<Candidate>,
    /// The rules for all paths here and below.
    prefixes: Vec<Candidate>,
}

/// A rule that matches as soon as the method does.
#[derive(Debug, Clone)]
struct Candidate {
    index: usize,
    /// The methods; `None` is any.
    methods: Option<Box<[Box<str>]>>,
}

impl Candidate {
    fn new(entry: &Entry<'_>) -> Self {
        let methods = entry
            .rule
            .methods()
            .map(|methods| methods.map(Into::into).collect());
        Self {
            index: entry.index,
            methods,
        }
    }

    fn admits(&self, method: &[u8]) -> bool {
        self.methods
            .as_ref()
            .is_none_or(|methods| methods.iter().any(|name| name.as_bytes() == method))
    }
}

/// The method to match, and the state of a search.
#[derive(Debug)]
pub(super) struct Search<'t> {
    method: &'t [u8],
    /// The first rule that matches, by its index.
    pub(super) found: Option<usize>,
    /// The number of nodes and segments that were visited.
    #[cfg(test)]
    pub(super) steps: usize,
}

impl<'t> Search<'t> {
    pub(super) fn new(method: &'t [u8]) -> Self {
        Self {
            method,
            found: None,
            #[cfg(test)]
            steps: 0,
        }
    }

    fn step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }

    /// Returns whether a rule is before the one that was found.
    fn wants(&self, index: usize) -> bool {
        self.found.is_none_or(|found| index < found)
    }

    fn consider(&mut self, candidates: &[Candidate]) {
        let candidate = candidates.iter().find(|candidate| {
            self.step();
            candidate.admits(self.method)
        });
        if let Some(candidate) = candidate
            && self.wants(candidate.index)
        {
            self.found = Some(candidate.index);
        }
    }
}

impl Node {
    /// Creates the tree of entries in the order of their rules; `None` if there are no entries.
    pub(super) fn from_entries(entries: &[Entry<'_>]) -> Option<Self> {
        let mut node = Self {
            first: entries.first()?.index,
            literals: Vec::new(),
            parameter: None,
            ends: Vec::new(),
            prefixes: Vec::new(),
        };

        let (mut literals, mut parameter) = (BTreeMap::<&str, Vec<_>>::new(), Vec::new());
        for entry in entries {
            let Some((segment, segments)) = entry.segments.split_first() else {
                let list = if entry.rule.is_prefix() {
                    &mut node.prefixes
                } else {
                    &mut node.ends
                };
                list.push(Candidate::new(entry));
                continue;
            };
            let below = match segment {
                Segment::Literal(text) => literals.entry(text).or_default(),
                Segment::Parameter(_) => &mut parameter,
            };
            below.push(Entry { segments, ..*entry });
        }

        let named =
            |(text, entries): (&str, Vec<_>)| Some((text.into(), Self::from_entries(&entries)?));
        node.literals = literals.into_iter().filter_map(named).collect();
        node.parameter = Self::from_entries(&parameter).map(Box::new);
        Some(node)
    }

    /// Looks for a rule before the one that was found. The search is as deep as the rules are, and
    /// visits no node twice.
    pub(super) fn search<S: Comparable>(
        &self,
        mut segments: impl Iterator<Item = S> + Clone,
        search: &mut Search<'_>,
    ) {
        search.step();
        if !search.wants(self.first) {
            return;
        }

        search.consider(&self.prefixes);
        let Some(segment) = segments.next() else {
            search.consider(&self.ends);
            return;
        };

        let literal = self.literals.binary_search_by(|(literal, _)| {
            search.step();
            segment.compare(literal).reverse()
        });
        if let Some((_, node)) = literal.ok().and_then(|at| self.literals.get(at)) {
            node.search(segments.clone(), search);
        }

        if let Some(node) = &self.parameter {
            node.search(segments, search);
        }
    }
}
