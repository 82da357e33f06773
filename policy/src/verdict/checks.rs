//! The checks that refuse, in the order of the contract's rows.

mod lookup;

use super::describe::{described, shown};
use super::route_target::RouteTarget;
use super::{Code, Settings, Trace, Verdict};
use crate::address::AddressRule;
use crate::meter::{Quota, Remaining};
use crate::permission::Permission;
use crate::policy::{Held, Policy};
use crate::record::KeyRecord;
use crate::route::{Access, Match, Named, Route, SubaccountLocation, Unmatched};
use crate::settings::SnapshotSettings;
use std::net::IpAddr;

pub(super) use lookup::KeyLookup;

/// The checks that refuse, each `Err` with its code unless it is shadowed.
pub(super) struct Checks<'c, T> {
    pub(super) settings: Settings<'c>,
    pub(super) snapshot: &'c SnapshotSettings,
    pub(super) target: Option<&'c RouteTarget<'c>>,
    pub(super) matched: Match<'c>,
    pub(super) trace: &'c mut T,
    /// The first shadowed check that would have refused.
    pub(super) shadowed: Option<Code>,
    /// The word that stands before a malformed key.
    pub(super) word: Option<&'static str>,
}

impl<'c, T: Trace> Checks<'c, T> {
    /// Returns the verdict with this code, and what the checks have found so far.
    pub(super) fn verdict(&self, code: Code) -> Verdict {
        Verdict {
            shadowed: self.shadowed,
            rule: self.matched.number(),
            word: self.word,
            ..Verdict::new(code)
        }
    }

    /// Records a check, and refuses if it did not pass and is not shadowed.
    fn check(
        &mut self,
        code: Code,
        passed: bool,
        compared: impl FnOnce() -> String,
    ) -> Result<(), Code> {
        self.trace.step(code, passed, compared);
        if passed {
            return Ok(());
        }
        if !self.settings.shadow.contains(&code) {
            return Err(code);
        }
        self.shadowed = self.shadowed.or(Some(code));
        Ok(())
    }

    /// Checks rows 7 to 9.
    pub(super) fn key(
        &mut self,
        key: &KeyRecord<'_>,
        policy: &Policy,
        source: impl Fn() -> Option<IpAddr>,
        now: i64,
    ) -> Result<(), Code> {
        let (owner, account) = (policy.owner_disabled, policy.account_disabled);
        self.check(
            Code::DisabledKey,
            !(key.disabled || owner || account),
            || {
                let is = |disabled| if disabled { "disabled" } else { "enabled" };
                format!(
                    "the key is {}, its owner {}, its account {}",
                    is(key.disabled),
                    is(owner),
                    is(account)
                )
            },
        )?;
        self.check(
            Code::ExpiredKey,
            key.expires_at.is_none_or(|expiry| now < expiry),
            || match key.expires_at {
                Some(expiry) => format!("it expires at {expiry}, and it is {now}"),
                None => "it never expires".to_owned(),
            },
        )?;

        self.check(
            Code::IpDenied,
            policy.addresses.admits(&source),
            || match &policy.addresses {
                AddressRule::Any => "it may be used from any address".to_owned(),
                AddressRule::Only(_) => format!("{} against its allow list", shown(source())),
                AddressRule::AllBut(_) => format!("{} against its deny list", shown(source())),
            },
        )
    }

    /// Decides on a request without a key that passed because that check is shadowed: only one of
    /// the other checks can be made.
    pub(super) fn without_key(&mut self) -> Verdict {
        let code = self.rule().err().unwrap_or(Code::Allowed);
        self.verdict(code)
    }

    /// Checks the part of row 10 that depends on no key: there is a rule, if one is required.
    fn rule(&mut self) -> Result<(), Code> {
        match self.matched {
            Match::Ambiguous | Match::Disputed { .. } | Match::Unmatched(Unmatched::Deny) => {
                let (matched, target) = (self.matched, self.target);
                self.check(Code::OutOfScope, false, || described(&matched, target))
            }
            Match::Rule(_) | Match::Unmatched(Unmatched::ValidKey) => Ok(()),
        }
    }

    /// Returns where the rule looks for the request's subaccount.
    pub(super) fn subaccount_location(&self) -> Option<&'c SubaccountLocation> {
        match self.matched {
            Match::Rule(Route {
                access: Access::Key { subaccount, .. },
                ..
            }) => subaccount.as_ref(),
            _ => None,
        }
    }

    /// Checks rows 10 and 11.
    pub(super) fn access(&mut self, policy: &Policy) -> Result<(), Code> {
        self.rule()?;
        let (service, permission) = match self.matched {
            Match::Rule(Route {
                access:
                    Access::Key {
                        service,
                        permission,
                        ..
                    },
                ..
            }) => (*service, *permission),
            _ => (None, None),
        };

        if let Some(service) = service {
            self.check(Code::OutOfScope, policy.is_in_scope(service), || {
                let name = self
                    .snapshot
                    .routes
                    .services()
                    .get(service)
                    .map_or("", |name| name);
                format!("the key's scope against the service {name}")
            })?;
        }

        if let Some(permission) = permission {
            let Held { by_key, by_owner } = policy.held(permission);
            self.check(Code::MissingPermission, by_key && by_owner, || {
                let has = |held| if held { "has" } else { "lacks" };
                let name = self
                    .snapshot
                    .routes
                    .permissions()
                    .get(permission)
                    .map_or("", Permission::as_str);
                format!(
                    "the key {} {name}, its owner {} it",
                    has(by_key),
                    has(by_owner)
                )
            })?;
        }

        Ok(())
    }

    /// Checks row 12. Returns the policy's subaccount that the request names.
    pub(super) fn subaccount(
        &mut self,
        policy: &Policy,
        named: Option<Named<'_>>,
    ) -> Result<Option<usize>, Code> {
        let Some(named) = named else { return Ok(None) };
        let found = match &named {
            Named::One(text) => policy.find_subaccount(|id| text.compare(id).reverse()),
            Named::None | Named::Unclear => None,
        };
        let passed = found.is_some() || (matches!(named, Named::None) && !policy.confined);
        self.check(Code::SubaccountDenied, passed, || match &named {
            Named::One(text) => format!("the key's subaccounts against {text}"),
            Named::None if policy.confined => {
                "the key is restricted to subaccounts, and the request names none".to_owned()
            }
            Named::None => {
                "the request names no subaccount, and the key is not restricted to any".to_owned()
            }
            Named::Unclear => "the request's subaccount is ambiguous".to_owned(),
        })?;
        Ok(found)
    }

    /// Checks row 13.
    pub(super) fn limits(&mut self, quota: Option<&Quota>) -> Result<(), Code> {
        match quota {
            Some(quota) => self.check(Code::RateLimited, quota.admitted(), || {
                match &quota.nearest {
                    Some(Remaining {
                        window,
                        limit,
                        remaining,
                        reset,
                        ..
                    }) => {
                        format!(
                            "{remaining} of {limit} requests per {} left until {reset}",
                            window.as_str()
                        )
                    }
                    None => "the key has no limits".to_owned(),
                }
            }),
            None => self.check(Code::InvalidKey, false, || {
                "the key was revoked just now".to_owned()
            }),
        }
    }
}
