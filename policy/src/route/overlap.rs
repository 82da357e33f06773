//! Rules that meet an earlier one only if letter case, and dots and blanks at a segment's end, are
//! ignored.

use super::fold::{self, Fold};
use super::rule::{Rule, SubaccountLocationSpec};
use super::segment::Segment;
use super::{PathCase, RouteRules, host};

/// A rule whose requests are refused, or fall under another rule, because paths are not
/// distinguished by case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Affected {
    /// The rule's number, from 1.
    pub rule: usize,
    /// The number of the first earlier rule that matches the rule's own spelling, and has different
    /// requirements.
    pub by: usize,
}

/// A rule with its folded path.
struct Folded<'r> {
    rule: &'r Rule,
    segments: Vec<Segment>,
}

impl RouteRules {
    /// Returns the rules whose own spelling, once folded, falls under an earlier rule with
    /// different requirements. With [`PathCase::Refuse`] such requests are refused, with
    /// [`PathCase::Ignore`] the earlier rule applies to them, and with [`PathCase::Distinct`] there
    /// are none.
    pub fn affected_by_path_case(&self) -> Vec<Affected> {
        if self.path_case == PathCase::Distinct {
            return Vec::new();
        }

        let folded = |rule| Folded {
            rule,
            segments: fold_in_place(rule),
        };
        let rules: Vec<_> = self.rules.iter().map(folded).collect();
        let mut affected = Vec::new();

        for (at, rule) in rules.iter().enumerate() {
            let earlier = rules
                .iter()
                .take(at)
                .position(|earlier| rule.is_taken_by(earlier));
            affected.extend(earlier.map(|by| Affected {
                rule: at.saturating_add(1),
                by: by.saturating_add(1),
            }));
        }

        affected
    }
}

/// Returns the rule's segments, folded, each in its place: a segment of only dots and blanks stays.
fn fold_in_place(rule: &Rule) -> Vec<Segment> {
    let folded = |segment: &Segment| {
        let folded = fold::segments(std::slice::from_ref(segment), Fold::CaseAndEnd).pop();
        folded.unwrap_or_else(|| segment.clone())
    };
    rule.segments().iter().map(folded).collect()
}

impl Folded<'_> {
    /// Returns whether a path with this rule's spelling matches the earlier rule only once it is
    /// folded.
    fn is_taken_by(&self, earlier: &Self) -> bool {
        self.meets_only_folded(earlier)
            && hosts_meet(self.rule, earlier.rule)
            && methods_meet(self.rule, earlier.rule)
            && !asks_for_the_same(self.rule, earlier.rule)
    }

    fn meets_only_folded(&self, other: &Self) -> bool {
        let (len, of_other) = (self.segments.len(), other.segments.len());
        if (len < of_other && !self.rule.is_prefix()) || (len > of_other && !other.rule.is_prefix())
        {
            return false;
        }
        let folded = self.segments.iter().zip(&other.segments);
        let written = self.rule.segments().iter().zip(other.rule.segments());
        let mut differs = false;

        for ((one, two), (written, of_other)) in folded.zip(written) {
            let (Some(one), Some(two)) = (one.literal(), two.literal()) else {
                continue;
            };
            if one != two {
                return false;
            }
            differs |= written != of_other;
        }

        differs
    }
}

fn hosts_meet(one: &Rule, two: &Rule) -> bool {
    let (Some(one), Some(two)) = (&one.spec().host, &two.spec().host) else {
        return true;
    };
    let is_below = |host: &str, name: &str| {
        host.strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'))
    };

    match (host::Pattern::from_host(one), host::Pattern::from_host(two)) {
        (host::Pattern::Exact(one), host::Pattern::Exact(two)) => one == two,
        (host::Pattern::Exact(host), host::Pattern::Below(name))
        | (host::Pattern::Below(name), host::Pattern::Exact(host)) => is_below(host, name),
        (host::Pattern::Below(one), host::Pattern::Below(two)) => {
            one == two || is_below(one, two) || is_below(two, one)
        }
    }
}

fn methods_meet(one: &Rule, two: &Rule) -> bool {
    let (Some(mut one), Some(two)) = (one.methods(), two.methods()) else {
        return true;
    };
    let two: Vec<_> = two.collect();
    one.any(|method| two.contains(&method))
}

fn asks_for_the_same(one: &Rule, two: &Rule) -> bool {
    let asked = |rule: &Rule| {
        let spec = rule.spec();
        let place = match &spec.subaccount {
            Some(SubaccountLocationSpec::Path(name)) => (rule.position(name), None),
            other => (None, other.clone()),
        };
        (
            spec.public,
            spec.service.clone(),
            spec.permission.clone(),
            place,
        )
    };
    asked(one) == asked(two)
}

#[cfg(test)]
mod tests;
