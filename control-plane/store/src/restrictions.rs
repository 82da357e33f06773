//! What restricts a calling key, and so the keys that it makes, edits, imports and regenerates.
//!
//! **Invariant: a key hands on no more than it has.** Each attribute of a key by which a request is
//! admitted, or which its upstream learns, is compared here, and nowhere else, except for
//! permissions, services and subaccounts, which also bound sessions (`api/caller.rs`).
//! `control_plane/bounds.rs` tests this by the verdict.
//!
//! Limits change without an edit of a key, when its tier does. So they are compared window by
//! window: where the calling key has a limit of its own, the other key has one of its own that is
//! at most that; where the calling key has its tier's, the other key is bounded by that tier from
//! then on, whatever becomes of the tier ([`Ceilings`]).

use latchkey_model::ceilings::Ceilings;
use latchkey_model::clock::rfc3339;
use latchkey_model::ip_list::IpList;
use latchkey_model::issues::{Addresses, Issues};
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::selection::Selection;
use latchkey_model::tier::{Tier, Tiers};
use latchkey_policy::address::{AddressLists, AddressRule, Origin};
use latchkey_policy::key::Environment;
use latchkey_policy::limit::{Limits, Window};

use super::{Key, KeySettings};

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
    pub subaccounts: Selection,
    /// Its own attributes, which bound keys that it edits and regenerates.
    pub(super) own: KeyBounds,
    /// What bounds the keys that it makes, if a session gave it `issues`.
    pub(super) issued: Option<KeyBounds>,
    /// Whether a key with `issues` made it, or a key that such a key made.
    pub(super) made_by_issuer: bool,
    pub(super) tiers: Tiers,
    /// The name of its account's tier, and whether that bounds keys.
    pub(super) account_tier: (String, bool),
}

/// The most that a key can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyBounds {
    /// The first is the default.
    pub(super) environments: Vec<Environment>,
    pub(super) tier: String,
    pub(super) declared: DeclaredLimits,
    pub(super) ceilings: Ceilings,
    /// Those declared over the tier's and below the ceilings, also where the account's tier is
    /// lower.
    limits: Limits,
    /// From this second on the calling key, or the secret that it presents, is refused.
    pub(super) expires_at: Option<i64>,
    allowed_ips: IpList,
    denied_ips: IpList,
    /// What the two lists admit together.
    pub(super) addresses: AddressRule,
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
    Some(Exceeded {
        field: field.into(),
        reason: reason.into(),
    })
}

impl KeyRestrictions {
    /// Those of `key`, of which the secret that is presented is refused from `expires_at` on.
    pub(super) fn new(
        key: &Key,
        expires_at: Option<i64>,
        tiers: Tiers,
        account_tier: (String, bool),
        now: i64,
    ) -> Self {
        let own = KeyBounds::of(&key.settings, expires_at, &tiers);
        let issued = key
            .settings
            .issues
            .as_ref()
            .map(|issues| own.with(issues, &tiers, now));
        let (key_id, owner, subaccounts) = (
            key.id.clone(),
            key.user_id.clone(),
            key.settings.subaccounts.clone(),
        );
        let expires_at = key.settings.expires_at;
        let made_by_issuer = key.settings.issued;
        Self {
            key_id,
            owner,
            expires_at,
            subaccounts,
            own,
            issued,
            made_by_issuer,
            tiers,
            account_tier,
        }
    }

    /// Whether the calling key can be used from `address`.
    pub(super) fn admits(&self, address: Option<std::net::IpAddr>) -> bool {
        self.own.addresses.admits(|| address)
    }

    fn of_new(&self) -> &KeyBounds {
        self.issued.as_ref().unwrap_or(&self.own)
    }

    /// Whether `key` is the calling key itself.
    pub fn is_own(&self, key: &Key) -> bool {
        self.key_id == key.id
    }

    /// The first field by which a new key with these settings would have more than the calling key
    /// can give.
    pub fn exceeded_by_new(&self, settings: &KeySettings) -> Option<Exceeded> {
        if settings.issues.is_some() {
            return exceeded("issues", "must be left out: only a session may set it");
        }
        self.of_new().exceeded_by(settings, &self.tiers)
    }

    /// Has a new key follow what bounds the calling key, also where that changes later.
    pub fn bind_new(&self, settings: &mut KeySettings) {
        self.of_new().bind(settings);
        settings.issued = self.issued.is_some() || self.made_by_issuer;
    }

    /// Has an existing key, which the calling key makes valid for more or gives a secret, follow
    /// what bounds the calling key.
    pub fn bind(&self, key: &mut Key) {
        self.own.bind(&mut key.settings);
    }

    /// The first field by which an existing key has more than the calling key.
    pub fn exceeded_by_key(&self, key: &Key) -> Option<Exceeded> {
        if key.user_id != self.owner {
            return exceeded("owner", "must be the owner of your own API key");
        }
        if key.settings.issues.is_some() && !self.is_own(key) {
            return exceeded("issues", "must not be another API key's");
        }
        let exceeded_by_attributes = self.own.exceeded_by(&key.settings, &self.tiers);
        exceeded_by_attributes.or_else(|| self.issues_exceeded(key))
    }

    /// A key that is kept to what it or its maker `issues` can make no users, so it takes over no
    /// key that can.
    fn issues_exceeded(&self, key: &Key) -> Option<Exceeded> {
        let kept = self.issued.is_some() || self.made_by_issuer;
        if !kept || key.settings.issued || self.is_own(key) {
            return None;
        }
        exceeded(
            "issues",
            "must restrict the other API key as it restricts yours",
        )
    }

    /// The expiry of `key`, which is the calling key as it will be, if that is later than its own.
    pub fn outlasted_by(&self, key: &Key) -> Option<Exceeded> {
        later(key.settings.expires_at, self.expires_at)
    }

    /// The first field by which these tiers would raise the limits of the calling key, which
    /// nothing else restricts.
    pub fn exceeded_by_tiers(&self, tiers: &[Tier]) -> Option<Exceeded> {
        let index = tiers.iter().position(|tier| tier.name == self.own.tier)?;
        let limits = tiers.get(index)?.limits.0;
        let window = Window::ALL
            .into_iter()
            .find(|window| exceeds(limits.get(*window), self.own.limits.get(*window)))?;
        let most = self.own.limits.get(window)?;
        exceeded(
            format!("tiers[{index}].limits.{}", window.as_str()),
            format!("must be at most {most}"),
        )
    }

    /// The environment of a new key by default.
    pub fn default_environment(&self) -> Environment {
        self.of_new()
            .environments
            .first()
            .copied()
            .unwrap_or(Environment::Live)
    }

    /// The tier of a new key by default: the highest that the calling key can give.
    pub fn default_tier(&self) -> String {
        let (account, bound) = &self.account_tier;
        let own = &self.of_new().tier;
        let above = self.tiers.position(own) > self.tiers.position(account);
        if *bound && above {
            account.clone()
        } else {
            own.clone()
        }
    }

    /// The limits of a new key of `tier`, which declares those `given`, and the tiers that bound
    /// them. Where it says nothing, it has the limits of its tier, and none above the calling
    /// key's.
    pub fn default_limits(&self, tier: &str, given: DeclaredLimits) -> (DeclaredLimits, Ceilings) {
        let bounds = self.of_new();
        let (mut limits, mut ceilings) = (given.0, Ceilings::default());
        let account = match &self.account_tier {
            (account, true) => self.tiers.limits(account),
            (_, false) => Limits::default(),
        };
        for window in Window::ALL
            .into_iter()
            .filter(|window| given.0.get(*window).is_none())
        {
            match bounds.declared.0.get(window) {
                None => bounds.bind_window(&mut ceilings, window),
                Some(own) => {
                    limits = limits.with(
                        window,
                        account.get(window).map_or(own, |most| most.min(own)).into(),
                    );
                    ceilings.add(window, tier);
                }
            }
        }
        (DeclaredLimits(limits), ceilings)
    }

    /// The expiry of a new key by default.
    pub fn default_expiry(&self) -> Option<i64> {
        self.of_new().expires_at
    }

    /// The IP lists of a new key by default: those that allow, and those that deny.
    pub fn default_lists(&self) -> (IpList, IpList) {
        let bounds = self.of_new();
        (bounds.allowed_ips.clone(), bounds.denied_ips.clone())
    }
}

impl KeyBounds {
    fn of(settings: &KeySettings, expires_at: Option<i64>, tiers: &Tiers) -> Self {
        Self {
            environments: vec![settings.environment],
            tier: settings.tier.clone(),
            declared: settings.limits,
            // What the account's tier takes away, it takes away from all keys alike.
            limits: tiers.of_key(&settings.tier, settings.limits, &settings.ceilings),
            ceilings: settings.ceilings.clone(),
            expires_at,
            allowed_ips: settings.allowed_ips.clone(),
            denied_ips: settings.denied_ips.clone(),
            addresses: settings.addresses(),
        }
    }

    /// The bounds of new keys: what `issues` says, and these where it says nothing. Each window
    /// counts for itself: a limit of the key's own stays where `issues` has none, also with another
    /// tier.
    fn with(&self, issues: &Issues, tiers: &Tiers, now: i64) -> Self {
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

    fn exceeded_by(&self, settings: &KeySettings, tiers: &Tiers) -> Option<Exceeded> {
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

    /// A tier that does not exist is reported once the key is made.
    fn tier_exceeded(&self, settings: &KeySettings, tiers: &Tiers) -> Option<Exceeded> {
        let place = tiers.position(&settings.tier)?;
        if tiers.position(&self.tier).is_some_and(|own| place <= own) {
            return None;
        }
        exceeded("tier", format!("must be at most `{}`", self.tier))
    }

    /// A limit that is higher now, or would be with other limits of the tiers. [`bind`](Self::bind)
    /// sees to the rest.
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

    /// Adds what bounds these to the ceilings of a key: where no limit of its own does, the tier.
    fn bind(&self, settings: &mut KeySettings) {
        for window in Window::ALL {
            self.bind_window(&mut settings.ceilings, window);
            if settings.limits.0.get(window).is_none() {
                // It has that tier's limit anyway.
                settings.ceilings.remove(window, &settings.tier);
            }
        }
    }

    fn bind_window(&self, ceilings: &mut Ceilings, window: Window) {
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
