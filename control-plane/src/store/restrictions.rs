//! What restricts a calling key, and so the keys that it makes, edits, imports and regenerates.
//!
//! **Invariant: a key hands on no more than it has.** Each attribute of a key by which a request is admitted, or which
//! its upstream learns, is compared here, and nowhere else, except for permissions, services and subaccounts, which also
//! bound sessions (`api/caller.rs`). `control_plane/bounds.rs` tests this by the verdict.

use latchkey_policy::address::{AddressLists, AddressRule, Origin};
use latchkey_policy::key::Environment;
use latchkey_policy::limit::{Limits, Window};

use super::{Key, KeySettings};
use crate::clock::rfc3339;
use crate::ip_list::IpList;
use crate::issues::{Addresses, Issues};
use crate::limits::DeclaredLimits;
use crate::selection::Selection;
use crate::tier::Tier;

/// What a calling key cannot exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRestrictions {
    /// Its own id.
    key_id: String,
    /// The user that owns it.
    owner: String,
    /// When it expires itself, with whichever secret.
    expires_at: Option<i64>,
    /// The subaccounts that it names, of its owner's.
    pub(crate) subaccounts: Selection,
    /// Its own attributes, which bound keys that it edits and regenerates.
    own: KeyBounds,
    /// What bounds the keys that it makes, if a session gave it `issues`.
    issued: Option<KeyBounds>,
    /// All tiers, in order.
    tiers: Vec<Tier>,
    /// The name of its account's tier, and whether that bounds keys.
    account_tier: (String, bool),
}

/// The most that a key can have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct KeyBounds {
    /// The first is the default.
    environments: Vec<Environment>,
    tier: String,
    declared: DeclaredLimits,
    /// Those declared over the tier's, also where the account's tier is lower.
    limits: Limits,
    /// From this second on the calling key, or the secret that it presents, is refused.
    expires_at: Option<i64>,
    allowed_ips: IpList,
    denied_ips: IpList,
    /// What the two lists admit together.
    addresses: AddressRule,
}

/// A field that exceeds what the calling key has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded {
    /// As in requests.
    pub field: String,
    /// Goes on from the field's name, as in "must be …".
    pub reason: String,
}

fn exceeded(field: impl Into<String>, reason: impl Into<String>) -> Option<Exceeded> {
    Some(Exceeded { field: field.into(), reason: reason.into() })
}

/// Something other than a key that a key could make, and that lasts without what restricts the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// A user, who could make keys.
    User,
    /// An account, whose administrator could.
    Account,
    /// A webhook, which is sent what happens to keys.
    Webhook,
    /// A node token, which serves all keys.
    NodeToken,
}

impl Lasting {
    /// With its article, for sentences.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "a user",
            Self::Account => "an account",
            Self::Webhook => "a webhook",
            Self::NodeToken => "a node token",
        }
    }

    fn makes_keys(self) -> bool {
        matches!(self, Self::User | Self::Account)
    }
}

impl KeyRestrictions {
    /// Those of `key`, of which the secret that is presented is refused from `expires_at` on.
    pub(super) fn new(
        key: &Key,
        expires_at: Option<i64>,
        tiers: Vec<Tier>,
        account_tier: (String, bool),
        now: i64,
    ) -> Self {
        let own = KeyBounds::of(&key.settings, expires_at, &tiers);
        let issued = key.settings.issues.as_ref().map(|issues| own.with(issues, &tiers, now));
        let (key_id, owner, subaccounts) = (key.id.clone(), key.user_id.clone(), key.settings.subaccounts.clone());
        let expires_at = key.settings.expires_at;
        Self { key_id, owner, expires_at, subaccounts, own, issued, tiers, account_tier }
    }

    /// Whether the calling key can be used from `address`.
    pub(super) fn admits(&self, address: Option<std::net::IpAddr>) -> bool {
        self.own.addresses.admits(|| address)
    }

    fn of_new(&self) -> &KeyBounds {
        self.issued.as_ref().unwrap_or(&self.own)
    }

    /// Whether `key` is the calling key itself.
    pub(crate) fn is_own(&self, key: &Key) -> bool {
        self.key_id == key.id
    }

    /// The first field by which a new key with these settings would have more than the calling key can give.
    pub(crate) fn exceeded_by_new(&self, settings: &KeySettings) -> Option<Exceeded> {
        if settings.issues.is_some() {
            return exceeded("issues", "must be left out: only a session gives it to a key");
        }
        self.of_new().exceeded_by(settings, &self.tiers)
    }

    /// The first field by which an existing key has more than the calling key.
    pub(crate) fn exceeded_by_key(&self, key: &Key) -> Option<Exceeded> {
        if key.user_id != self.owner {
            return exceeded("owner", "must be the owner of your own API key");
        }
        if key.settings.issues.is_some() && !self.is_own(key) {
            return exceeded("issues", "must not be another API key's");
        }
        self.own.exceeded_by(&key.settings, &self.tiers)
    }

    /// The expiry of `key`, which is the calling key as it will be, if that is later than its own.
    pub(crate) fn outlasted_by(&self, key: &Key) -> Option<Exceeded> {
        later(key.settings.expires_at, self.expires_at)
    }

    /// The first field by which these tiers would raise what the calling key has, or can give.
    pub(crate) fn exceeded_by_tiers(&self, tiers: &[Tier]) -> Option<Exceeded> {
        let bounds = [Some(&self.own), self.issued.as_ref()];
        bounds.into_iter().flatten().find_map(|bounds| bounds.raised_by(&self.tiers, tiers))
    }

    /// The environment of a new key by default.
    pub(crate) fn default_environment(&self) -> Environment {
        self.of_new().environments.first().copied().unwrap_or(Environment::Live)
    }

    /// The tier of a new key by default: the highest that the calling key can give.
    pub(crate) fn default_tier(&self) -> String {
        let (account, bound) = &self.account_tier;
        let own = &self.of_new().tier;
        let above = position(&self.tiers, own) > position(&self.tiers, account);
        if *bound && above { account.clone() } else { own.clone() }
    }

    /// The limits of a new key of `tier`, which declares those `given`: where it says nothing, the calling key's own.
    pub(crate) fn default_limits(&self, tier: &str, given: DeclaredLimits) -> DeclaredLimits {
        let bounds = self.of_new();
        let limits_of = |name: &str| named(&self.tiers, name).map(|tier| tier.limits.0).unwrap_or_default();
        let (of_tier, (account, bound)) = (limits_of(tier), &self.account_tier);
        let of_account = if *bound { limits_of(account) } else { Limits::default() };
        let default = |limits: Limits, window: Window| {
            let (Some(most), None) = (bounds.limits.get(window), limits.get(window)) else { return limits };
            let declares = bounds.declared.0.get(window).is_some();
            if !declares && of_tier.get(window).is_some_and(|limit| limit <= most) {
                return limits;
            }
            let least = [Some(most), of_tier.get(window), of_account.get(window)].into_iter().flatten().min();
            limits.with(window, least)
        };
        DeclaredLimits(Window::ALL.into_iter().fold(given.0, default))
    }

    /// The expiry of a new key by default.
    pub(crate) fn default_expiry(&self) -> Option<i64> {
        self.of_new().expires_at
    }

    /// The IP lists of a new key by default: those that allow, and those that deny.
    pub(crate) fn default_lists(&self) -> (IpList, IpList) {
        let bounds = self.of_new();
        (bounds.allowed_ips.clone(), bounds.denied_ips.clone())
    }

    /// What the calling key, which has this scope, is kept to, and `lasting` would not be.
    pub(crate) fn kept_to(&self, scope: &Selection, lasting: Lasting) -> Option<&'static str> {
        let highest = match &self.account_tier {
            (account, true) => position(&self.tiers, account),
            // No tier bounds the keys of the operator's account.
            (_, false) => self.tiers.len().checked_sub(1),
        };
        let of_keys = || {
            if self.issued.is_some() {
                Some("what it `issues`")
            } else if self.own.environments != [Environment::Live] {
                Some("the environment `test`")
            } else if self.own.declared != DeclaredLimits::default() {
                Some("limits of its own")
            } else if position(&self.tiers, &self.own.tier) < highest {
                Some("a tier below the highest that its account can give")
            } else {
                None
            }
        };
        if *scope != Selection::All {
            Some("some services")
        } else if self.subaccounts != Selection::All {
            Some("some subaccounts")
        } else if self.own.expires_at.is_some() {
            Some("a time")
        } else if self.own.addresses != AddressRule::Any {
            Some("addresses")
        } else if lasting.makes_keys() {
            of_keys()
        } else {
            None
        }
    }
}

impl KeyBounds {
    fn of(settings: &KeySettings, expires_at: Option<i64>, tiers: &[Tier]) -> Self {
        Self {
            environments: vec![settings.environment],
            tier: settings.tier.clone(),
            declared: settings.limits,
            // What the account's tier takes away, it takes away from all keys alike.
            limits: settings.limits.over(named(tiers, &settings.tier).map(|tier| tier.limits.0).unwrap_or_default()),
            expires_at,
            allowed_ips: settings.allowed_ips.clone(),
            denied_ips: settings.denied_ips.clone(),
            addresses: settings.addresses(),
        }
    }

    /// The bounds of new keys: what `issues` says, and these where it says nothing.
    fn with(&self, issues: &Issues, tiers: &[Tier], now: i64) -> Self {
        let mut bounds = self.clone();
        if let Some(tier) = &issues.tier {
            bounds.tier.clone_from(tier);
            bounds.declared = DeclaredLimits::default();
            bounds.limits = named(tiers, tier).map(|tier| tier.limits.0).unwrap_or_default();
        }
        if let Some(limits) = issues.limits {
            bounds.declared = limits;
            bounds.limits = limits.over(bounds.limits);
        }
        match &issues.addresses {
            None => {}
            Some(addresses) => {
                let list = if let Addresses::Listed(list) = addresses { list.clone() } else { IpList::default() };
                (bounds.allowed_ips, bounds.denied_ips) = (list, IpList::default());
                let allow = bounds.allowed_ips.enabled();
                bounds.addresses = AddressRule::compile(&AddressLists { allow, deny: Vec::new() });
            }
        }
        bounds.expires_at = issues.expires_at(now).or(bounds.expires_at);
        bounds.environments = issues.environments().unwrap_or(bounds.environments);
        bounds
    }

    fn exceeded_by(&self, settings: &KeySettings, tiers: &[Tier]) -> Option<Exceeded> {
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
        let names: Vec<_> = self.environments.iter().map(|environment| environment.as_str()).collect();
        exceeded("environment", format!("must be {}", names.join(" or ")))
    }

    /// A tier that does not exist is reported once the key is made.
    fn tier_exceeded(&self, settings: &KeySettings, tiers: &[Tier]) -> Option<Exceeded> {
        let place = position(tiers, &settings.tier)?;
        if position(tiers, &self.tier).is_some_and(|own| place <= own) {
            return None;
        }
        exceeded("tier", format!("must be `{}` at most", self.tier))
    }

    fn limit_exceeded(&self, settings: &KeySettings, tiers: &[Tier]) -> Option<Exceeded> {
        let limits = settings.limits.over(named(tiers, &settings.tier)?.limits.0);
        let raised = |window: &Window| exceeds(limits.get(*window), self.limits.get(*window));
        let window = Window::ALL.into_iter().find(raised)?;
        let most = self.limits.get(window)?;
        exceeded(format!("limits.{}", window.as_str()), format!("must be at most {most}"))
    }

    fn expiry_exceeded(&self, settings: &KeySettings) -> Option<Exceeded> {
        later(settings.expires_at, self.expires_at)
    }

    fn addresses_exceeded(&self, settings: &KeySettings) -> Option<Exceeded> {
        let origin = settings.addresses().beyond(&self.addresses)?;
        let allows = !settings.allowed_ips.enabled().is_empty() || matches!(self.addresses, AddressRule::Only(_));
        let field = if allows { "allowed_ips" } else { "denied_ips" };
        match origin {
            Origin::Address(address) => exceeded(field, format!("must not admit {address}")),
            Origin::Unknown => exceeded(field, "must have an enabled entry, so that no unknown address is admitted"),
        }
    }

    /// The first field by which tiers `after` would raise what there is with those `before`.
    fn raised_by(&self, before: &[Tier], after: &[Tier]) -> Option<Exceeded> {
        let is = position(after, &self.tier)?;
        let Some(was) = position(before, &self.tier) else {
            return exceeded(format!("tiers[{is}]"), "must be left out, as your own API key issues keys of it");
        };
        let limits = self.declared.over(after.get(is)?.limits.0);
        let raised = Window::ALL.into_iter().find(|window| exceeds(limits.get(*window), self.limits.get(*window)));
        if let Some(window) = raised {
            let most = self.limits.get(window)?;
            return exceeded(format!("tiers[{is}].limits.{}", window.as_str()), format!("must be at most {most}"));
        }
        let higher = before.get(was.saturating_add(1)..).unwrap_or_default();
        let moved = higher.iter().filter_map(|tier| position(after, &tier.name)).find(|place| *place < is)?;
        exceeded(format!("tiers[{moved}]"), format!("must stay behind `{}`", self.tier))
    }
}

/// An expiry, if it is later than `bound`.
fn later(expires_at: Option<i64>, bound: Option<i64>) -> Option<Exceeded> {
    let end = bound?;
    if expires_at.is_some_and(|second| second <= end) {
        return None;
    }
    exceeded("expires_at", format!("must be at most {}", rfc3339(end)))
}

/// Whether a limit admits more than a bound does.
fn exceeds(limit: Option<u32>, bound: Option<u32>) -> bool {
    bound.is_some_and(|bound| limit.is_none_or(|limit| limit > bound))
}

fn named<'t>(tiers: &'t [Tier], name: &str) -> Option<&'t Tier> {
    tiers.iter().find(|tier| tier.name == name)
}

fn position(tiers: &[Tier], name: &str) -> Option<usize> {
    tiers.iter().position(|tier| tier.name == name)
}
