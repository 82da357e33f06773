//! The restrictions because of which a key needs a session for changes of lasting resources.

use latchkey_model::limits::DeclaredLimits;
use latchkey_model::selection::Selection;
use latchkey_policy::address::AddressRule;
use latchkey_policy::key::Environment;

use super::KeyRestrictions;
use crate::lasting::Lasting;

impl KeyRestrictions {
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
