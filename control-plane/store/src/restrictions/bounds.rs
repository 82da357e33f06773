//! The bounds that a key is for the keys that it creates and edits, attribute by attribute.

use latchkey_model::ceilings::Ceilings;
use latchkey_model::clock::rfc3339;
use latchkey_model::ip_list::IpList;
use latchkey_model::issues::{Addresses, Issues};
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::tier::Tiers;
use latchkey_policy::address::{AddressLists, AddressRule, Origin};
use latchkey_policy::key::Environment;
use latchkey_policy::limit::{Limits, Window};

use crate::KeySettings;
use crate::restricted::{Exceeded, exceeded};

/// The maximum that a key can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyBounds {
    /// The allowed environments. The first is the default.
    pub(crate) environments: Vec<Environment>,
    pub(crate) tier: String,
    pub(crate) declared: DeclaredLimits,
    pub(crate) ceilings: Ceilings,
    /// The effective limits: the declared ones, otherwise the tier's, and none above the ceilings,
    /// also where the account's tier is lower.
    pub(super) limits: Limits,
    /// The second from which on the calling key, or the secret that it presents, is refused.
    pub(crate) expires_at: Option<i64>,
    pub(super) allowed_ips: IpList,
    pub(super) denied_ips: IpList,
    /// The addresses that the two lists together admit.
    pub(crate) addresses: AddressRule,
}

impl KeyBounds {
    /// Returns the bounds that a key with these settings is for others. It is refused from
    /// `expires_at` on.
    pub(super) fn new(settings: &KeySettings, expires_at: Option<i64>, tiers: &Tiers) -> Self {
        Self {
            environments: vec![settings.environment],
            tier: settings.tier.clone(),
            declared: settings.limits,
            // A lower tier of the account lowers the limits of all keys alike.
            limits: tiers.of_key(&settings.tier, settings.limits, &settings.ceilings),
            ceilings: settings.ceilings.clone(),
            expires_at,
            allowed_ips: settings.allowed_ips.clone(),
            denied_ips: settings.denied_ips.clone(),
            addresses: settings.addresses(),
        }
    }

    /// Returns the bounds of new keys: the values of `issues`, and these bounds where it has none.
    /// Each window is separate: a limit of the key's own stays where `issues` has none, also with
    /// another tier.
    pub(super) fn with_issues(&self, issues: &Issues, tiers: &Tiers, now: i64) -> Self {
        let mut bounds = self.clone();
        if let Some(tier) = &issues.tier {
            bounds.tier.clone_from(tier);
        }
        let limits = issues.limits.unwrap_or_default();
        for window in Window::ALL
            .into_iter()
            .filter(|window| limits.0.get(*window).is_some())
        {
            bounds.ceilings.clear(window);
        }
        bounds.declared = DeclaredLimits(limits.over(bounds.declared.0));
        bounds.limits = tiers.of_key(&bounds.tier, bounds.declared, &bounds.ceilings);
        match &issues.addresses {
            None => {}
            Some(addresses) => {
                let list = if let Addresses::Listed(list) = addresses {
                    list.clone()
                } else {
                    IpList::default()
                };
                (bounds.allowed_ips, bounds.denied_ips) = (list, IpList::default());
                let allow = bounds.allowed_ips.enabled();
                bounds.addresses = AddressRule::compile(&AddressLists {
                    allow,
                    deny: Vec::new(),
                });
            }
        }
        bounds.expires_at = issues.expires_at(now).or(bounds.expires_at);
        bounds.environments = issues.environments().unwrap_or(bounds.environments);
        bounds
    }

    /// Returns the first field of `settings` that exceeds these bounds.
    pub(super) fn exceeded_by(&self, settings: &KeySettings, tiers: &Tiers) -> Option<Exceeded> {
        self.environment_exceeded(settings)
            .or_else(|| self.tier_exceeded(settings, tiers))
            .or_else(|| self.limit_exceeded(settings, tiers))
            .or_else(|| self.expiry_exceeded(settings))
            .or_else(|| self.addresses_exceeded(settings))
    }

    fn environment_exceeded(&self, settings: &KeySettings) -> Option<Exceeded> {
        if self.environments.contains(&settings.environment) {
            return None;
        }
        let names: Vec<_> = self
            .environments
            .iter()
            .map(|environment| environment.as_str())
            .collect();
        exceeded("environment", format!("must be {}", names.join(" or ")))
    }

    /// Returns the field of a tier that is too high. Creation reports a tier that does not exist.
    fn tier_exceeded(&self, settings: &KeySettings, tiers: &Tiers) -> Option<Exceeded> {
        let place = tiers.position(&settings.tier)?;
        if tiers.position(&self.tier).is_some_and(|own| place <= own) {
            return None;
        }
        exceeded("tier", format!("must be at most `{}`", self.tier))
    }

    /// Returns the field of a limit that is higher now, or would be with other limits of the tiers.
    /// [`bind`](Self::bind) handles the other ones.
    fn limit_exceeded(&self, settings: &KeySettings, tiers: &Tiers) -> Option<Exceeded> {
        let limits = tiers.of_key(&settings.tier, settings.limits, &settings.ceilings);
        Window::ALL.into_iter().find_map(|window| {
            let field = || format!("limits.{}", window.as_str());
            let (declared, own) = (settings.limits.0.get(window), self.declared.0.get(window));
            match self.limits.get(window) {
                Some(most)
                    if exceeds(limits.get(window), Some(most))
                        || declared.is_some() && exceeds(declared, own) =>
                {
                    exceeded(field(), format!("must be at most {most}"))
                }
                _ if exceeds(declared, own) => {
                    let most = own?;
                    exceeded(field(), format!("must be set, to at most {most}"))
                }
                _ => None,
            }
        })
    }

    /// Adds these ceilings to those of a key, and the tier in windows without a declared limit.
    pub(super) fn bind(&self, settings: &mut KeySettings) {
        for window in Window::ALL {
            self.bind_window(&mut settings.ceilings, window);
            if settings.limits.0.get(window).is_none() {
                // The key has that tier's limit anyway.
                settings.ceilings.remove(window, &settings.tier);
            }
        }
    }

    /// Adds the ceilings of a window to those of a key, and the tier if the window has no declared
    /// limit.
    pub(super) fn bind_window(&self, ceilings: &mut Ceilings, window: Window) {
        self.ceilings
            .tiers(window)
            .for_each(|tier| ceilings.add(window, tier));
        if self.declared.0.get(window).is_none() {
            ceilings.add(window, &self.tier);
        }
    }

    fn expiry_exceeded(&self, settings: &KeySettings) -> Option<Exceeded> {
        later(settings.expires_at, self.expires_at)
    }

    fn addresses_exceeded(&self, settings: &KeySettings) -> Option<Exceeded> {
        let origin = settings.addresses().beyond(&self.addresses)?;
        let allows = !settings.allowed_ips.enabled().is_empty()
            || matches!(self.addresses, AddressRule::Only(_));
        let field = if allows { "allowed_ips" } else { "denied_ips" };
        match origin {
            Origin::Address(address) => exceeded(field, format!("must not admit {address}")),
            Origin::Unknown => exceeded(
                field,
                "must have an enabled entry, so that no unknown address is admitted",
            ),
        }
    }
}

/// Returns the field to report if the expiry is later than `bound`.
pub(super) fn later(expires_at: Option<i64>, bound: Option<i64>) -> Option<Exceeded> {
    let end = bound?;
    if expires_at.is_some_and(|second| second <= end) {
        return None;
    }
    exceeded("expires_at", format!("must be at most {}", rfc3339(end)))
}

/// Returns whether a limit admits more than a bound does.
pub(super) fn exceeds(limit: Option<u32>, bound: Option<u32>) -> bool {
    bound.is_some_and(|bound| limit.is_none_or(|limit| limit > bound))
}
