//! What a key can change other than keys, and for which of it a restricted key needs a session.

use latchkey_model::limits::DeclaredLimits;
use latchkey_model::selection::Selection;
use latchkey_policy::address::AddressRule;
use latchkey_policy::key::Environment;

use super::restrictions::KeyRestrictions;

/// Something other than a key that a key could change, and that lasts without what restricts the
/// key, or lifts that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// A user, who could make keys.
    User,
    /// An account, whose administrator could.
    Account,
    /// The tiers, by which limits of keys are worked out.
    Tiers,
    /// The route rules, which say what service and subaccount a request is about.
    Routes,
    /// A webhook, which is sent what happens to keys.
    Webhook,
    /// A node token, which serves all keys.
    NodeToken,
}

impl Lasting {
    /// With its article, for sentences.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "a user",
            Self::Account => "an account",
            Self::Tiers => "a change of the tiers",
            Self::Routes => "a change of the route rules",
            Self::Webhook => "a webhook",
            Self::NodeToken => "a node token",
        }
    }
}

impl KeyRestrictions {
    /// Returns what the calling key, which has this scope, is restricted to, if `lasting` would not
    /// be.
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
            // A rule is no credential, and what a `public` one admits takes no key.
            Lasting::Routes => of_requests,
            Lasting::Webhook | Lasting::NodeToken => of_requests.or_else(of_callers),
            Lasting::User | Lasting::Account | Lasting::Tiers => of_requests
                .or_else(of_callers)
                .or_else(|| self.kept_as_key()),
        }
    }

    /// What bounds keys that the calling key makes, and nothing else.
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
