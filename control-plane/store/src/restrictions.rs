//! The restrictions of a calling key, and of keys that it creates, edits, imports and regenerates.
//!
//! **Invariant: a key cannot give another key more than it has.** Each attribute of a key by which
//! a request is admitted, or which is sent upstream, is compared here, and nowhere else, except for
//! permissions, services and subaccounts, which also bound sessions (`api/src/caller.rs`).
//! `control_plane/bounds.rs` tests this by the verdict.
//!
//! Limits change without an edit of a key when its tier changes. So they are compared window by
//! window: where the calling key has its own limit, the other key must have its own limit that is
//! not higher. Where the calling key has its tier's limit, the other key is bounded by that tier
//! from then on, even if the tier changes ([`Ceilings`]).

mod bounds;

use latchkey_model::ceilings::Ceilings;
use latchkey_model::ip_list::IpList;
use latchkey_model::limits::DeclaredLimits;
use latchkey_model::selection::Selection;
use latchkey_model::tier::{Tier, Tiers};
use latchkey_policy::address::AddressRule;
use latchkey_policy::key::Environment;
use latchkey_policy::limit::{Limits, Window};

use super::restricted::{Exceeded, Lasting, exceeded};
use super::{Key, KeySettings};
pub(super) use bounds::KeyBounds;
use bounds::{exceeds, later};

/// The bounds that a calling key cannot exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRestrictions {
    /// The id of the calling key.
    key_id: String,
    /// The user that owns it.
    owner: String,
    /// The time at which the calling key expires, with any of its secrets.
    expires_at: Option<i64>,
    /// The subaccounts that it lists, out of its owner's.
    pub subaccounts: Selection,
    /// Its own attributes, which bound keys that it edits and regenerates.
    pub(super) own: KeyBounds,
    /// The bounds of the keys that it creates, if a session gave it `issues`.
    pub(super) issued: Option<KeyBounds>,
    /// True if it was created by a key with `issues`, or by a key that such a key created.
    pub(super) made_by_issuer: bool,
    pub(super) tiers: Tiers,
    /// The name of its account's tier, and whether the tier bounds keys.
    pub(super) account_tier: (String, bool),
}

impl KeyRestrictions {
    /// Returns the restrictions of `key`. Its presented secret is refused from `expires_at` on.
    pub(super) fn new(
        key: &Key,
        expires_at: Option<i64>,
        tiers: Tiers,
        account_tier: (String, bool),
        now: i64,
    ) -> Self {
        let own = KeyBounds::new(&key.settings, expires_at, &tiers);
        let issued = key
            .settings
            .issues
            .as_ref()
            .map(|issues| own.with_issues(issues, &tiers, now));
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

    /// Returns whether the calling key can be used from `address`.
    pub(super) fn admits(&self, address: Option<std::net::IpAddr>) -> bool {
        self.own.addresses.admits(|| address)
    }

    fn for_new_keys(&self) -> &KeyBounds {
        self.issued.as_ref().unwrap_or(&self.own)
    }

    /// Returns whether `key` is the calling key itself.
    pub fn is_own(&self, key: &Key) -> bool {
        self.key_id == key.id
    }

    /// Returns the first field by which a new key with these settings would have more than the
    /// calling key can give.
    pub fn exceeded_by_new(&self, settings: &KeySettings) -> Option<Exceeded> {
        if settings.issues.is_some() {
            return exceeded("issues", "must be left out: only a session may set it");
        }
        self.for_new_keys().exceeded_by(settings, &self.tiers)
    }

    /// Binds a new key to the bounds of the calling key, also where those change later.
    pub fn bind_new(&self, settings: &mut KeySettings) {
        self.for_new_keys().bind(settings);
        settings.issued = self.issued.is_some() || self.made_by_issuer;
    }

    /// Binds an existing key, which the calling key widens or gives a secret, to the bounds of the
    /// calling key.
    pub fn bind(&self, key: &mut Key) {
        self.own.bind(&mut key.settings);
    }

    /// Returns the first field by which an existing key has more than the calling key.
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

    /// Returns the field to report if the calling key takes over a key that could create users. A
    /// key that is bound by its own `issues`, or by those of its creator, cannot do that itself.
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

    /// Returns the expiry of `key`, the calling key as it will be, if later than its present one.
    pub fn outlasted_by(&self, key: &Key) -> Option<Exceeded> {
        later(key.settings.expires_at, self.expires_at)
    }

    /// Returns the first field by which these tiers would raise the limits of the calling key,
    /// which has no other restriction.
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

    /// Returns the default environment of a new key.
    pub fn default_environment(&self) -> Environment {
        self.for_new_keys()
            .environments
            .first()
            .copied()
            .unwrap_or(Environment::Live)
    }

    /// Returns the default tier of a new key: the highest that the calling key can give.
    pub fn default_tier(&self) -> String {
        let (account, bound) = &self.account_tier;
        let own = &self.for_new_keys().tier;
        let above = self.tiers.position(own) > self.tiers.position(account);
        if *bound && above {
            account.clone()
        } else {
            own.clone()
        }
    }

    /// Returns the limits of a new key of `tier` that declares the limits `given`, and the tiers
    /// that bound them. A window without a declared limit has the limit of its tier, and none above
    /// the calling key's.
    pub fn default_limits(&self, tier: &str, given: DeclaredLimits) -> (DeclaredLimits, Ceilings) {
        let bounds = self.for_new_keys();
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

    /// Returns the default expiry of a new key.
    pub fn default_expiry(&self) -> Option<i64> {
        self.for_new_keys().expires_at
    }

    /// Returns the default IP lists of a new key: the allow list and the deny list.
    pub fn default_lists(&self) -> (IpList, IpList) {
        let bounds = self.for_new_keys();
        (bounds.allowed_ips.clone(), bounds.denied_ips.clone())
    }

    /// Returns the restriction of the calling key, which has this scope, if `lasting` would not be
    /// restricted likewise.
    pub fn kept_to(&self, scope: &Selection, lasting: Lasting) -> Option<&'static str> {
        let of_requests = if *scope != Selection::All {
            Some("some services")
        } else if self.subaccounts != Selection::All {
            Some("some subaccounts")
        } else {
            None
        };
        let of_callers = || {
            if self.own.expires_at.is_some() {
                Some("a limited lifetime")
            } else if self.own.addresses != AddressRule::Any {
                Some("some client addresses")
            } else {
                None
            }
        };
        match lasting {
            // A rule is no credential, and requests that a `public` one admits need no key.
            Lasting::Routes => of_requests,
            Lasting::Webhook | Lasting::NodeToken => of_requests.or_else(of_callers),
            Lasting::User | Lasting::Account | Lasting::Tiers => of_requests
                .or_else(of_callers)
                .or_else(|| self.kept_as_key()),
        }
    }

    /// Returns the restriction that binds keys which the calling key creates, and nothing else.
    fn kept_as_key(&self) -> Option<&'static str> {
        let highest = match &self.account_tier {
            (account, true) => self.tiers.position(account),
            // No tier bounds the keys of the operator's account.
            (_, false) => self.tiers.current().len().checked_sub(1),
        };
        if self.issued.is_some() {
            Some("its own `issues` settings")
        } else if self.made_by_issuer {
            Some("the `issues` settings of the key that made it")
        } else if self.own.environments != [Environment::Live] {
            Some("the environment `test`")
        } else if self.own.declared != DeclaredLimits::default() || !self.own.ceilings.is_empty() {
            Some("limits of its own")
        } else if self.tiers.position(&self.own.tier) < highest {
            Some("a tier below the highest that its account can give")
        } else {
            None
        }
    }
}
