//! Ceilings: tiers whose limits bound those of a key, in addition to its own tier and limits.
//!
//! A key that another key creates can have its own limit or tier, within the calling key's tier. If
//! the operator changes that tier, the calling key follows it. The created key keeps the tier's
//! name, so that it follows the tier, too.

use latchkey_policy::limit::{Limits, Window};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::limits::DeclaredLimits;

/// The names of tiers, by the windows in which their limits bound a key's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    into = "BTreeMap<String, BTreeSet<String>>",
    from = "BTreeMap<String, BTreeSet<String>>"
)]
pub struct Ceilings([BTreeSet<String>; Window::ALL.len()]);

impl Ceilings {
    /// Returns whether no tier bounds any window.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(BTreeSet::is_empty)
    }

    /// Returns the tiers that bound a window.
    pub fn tiers(&self, window: Window) -> impl Iterator<Item = &str> {
        self.0
            .get(window as usize)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// Adds a tier that bounds a window.
    pub fn add(&mut self, window: Window, tier: &str) {
        if let Some(tiers) = self.0.get_mut(window as usize) {
            tiers.insert(tier.to_owned());
        }
    }

    /// Removes a tier from a window.
    pub fn remove(&mut self, window: Window, tier: &str) {
        if let Some(tiers) = self.0.get_mut(window as usize) {
            tiers.remove(tier);
        }
    }

    /// Removes all tiers from a window.
    pub fn clear(&mut self, window: Window) {
        if let Some(tiers) = self.0.get_mut(window as usize) {
            tiers.clear();
        }
    }

    /// Adds all tiers of `other`.
    pub fn extend(&mut self, other: &Self) {
        for (tiers, others) in self.0.iter_mut().zip(&other.0) {
            tiers.extend(others.iter().cloned());
        }
    }

    /// Bounds `limits` in each window by the lowest limit of the window's tiers. `tier` returns the
    /// limits of a tier.
    pub fn bound(&self, limits: Limits, tier: impl Fn(&str) -> Limits) -> Limits {
        let lowest = |window| {
            self.tiers(window)
                .filter_map(|name| tier(name).get(window))
                .min()
        };
        let bounds = Window::ALL
            .into_iter()
            .fold(Limits::default(), |bounds, window| {
                bounds.with(window, lowest(window))
            });
        DeclaredLimits(bounds).bound(limits)
    }
}

impl From<Ceilings> for BTreeMap<String, BTreeSet<String>> {
    fn from(Ceilings(windows): Ceilings) -> Self {
        let named = Window::ALL
            .into_iter()
            .map(|window| window.as_str().to_owned())
            .zip(windows);
        named.filter(|(_, tiers)| !tiers.is_empty()).collect()
    }
}

impl From<BTreeMap<String, BTreeSet<String>>> for Ceilings {
    fn from(mut named: BTreeMap<String, BTreeSet<String>>) -> Self {
        Self(Window::ALL.map(|window| named.remove(window.as_str()).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_tier_limit_bounds_a_window() {
        let json = r#"{"hour":["free"],"minute":["basic","free"]}"#;
        let ceilings: Ceilings = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&ceilings).unwrap(), json);
        let minute = |limit| Limits::default().with(Window::Minute, Some(limit));
        let tier = |name: &str| minute(if name == "free" { 10 } else { 100 });

        for (limits, bounded) in [
            (Limits::default(), minute(10)),
            (minute(5), minute(5)),
            (
                minute(50).with(Window::Hour, Some(7)),
                minute(10).with(Window::Hour, Some(7)),
            ),
        ] {
            assert_eq!(ceilings.bound(limits, tier), bounded);
        }

        assert_eq!(
            Ceilings::default().bound(Limits::default(), tier),
            Limits::default()
        );
    }
}
