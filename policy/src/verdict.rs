//! The decision on a request: the product's contract, row by row. The first row that applies ends
//! it.
//!
//! The filter and the control plane's `explain` call the same [`decide`]. It gets the data that it
//! decides by from a [`Source`] and the request's data from a [`Request`], each only as far as it
//! matters, and allocates nothing itself.

mod code;
mod recheck;

use crate::address::AddressRule;
use crate::credential::{
    MAX_CANDIDATES, Presented, is_ours, may_be_imported, without_word, word_before_key,
};
use crate::key::{KeyDigest, KeyFormat};
use crate::limit::Limits;
use crate::meter::{Quota, Remaining};
use crate::permission::Permission;
use crate::policy::{Held, Policy};
use crate::record::KeyRecord;
use crate::route::{Access, Match, Named, Place, Route, Routes, Target, Unmatched};
use crate::settings::SnapshotSettings;
use crate::snapshot::{Entry, Unavailable};
use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::rc::Rc;

pub use code::{Challenge, Code, GrpcStatus, Refusal};
pub use recheck::recheck;

/// The form in which a request names its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential<'r> {
    /// The values that a client presents.
    Presented(Presented<'r>),
    /// The digest of a known key, for a request that is only described.
    Known(KeyDigest),
}

/// The data of a request that a verdict may need.
pub trait Request {
    /// Returns the key.
    fn credential(&self) -> Credential<'_>;

    /// Returns the client's address, as the host trusts it; `None` if it is not known.
    fn source_address(&self) -> Option<IpAddr>;

    /// Returns a header or a pseudo-header (`:authority`, `:method`, `:path` with the query). The
    /// values of one that was sent more than once are joined by commas.
    fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Unavailable>;
}

/// The data that a verdict is decided by: Envoy's memory in the filter, the control plane's store.
pub trait Source {
    /// Returns the settings of the newest snapshot.
    fn settings(&self) -> Result<Rc<SnapshotSettings>, Unavailable>;

    /// Fails if that snapshot is older than the operator allows.
    fn check_staleness(&self) -> Result<(), Unavailable>;

    /// Returns the key, with its policy compiled for the rules of the [`settings`](Self::settings);
    /// `None` if the key does not exist or has been revoked.
    fn find(&self, digest: &KeyDigest) -> Result<Option<Rc<Entry>>, Unavailable>;

    /// Returns the Unix time in seconds.
    fn now(&self) -> Result<i64, Unavailable>;

    /// Takes one request from all of the key's limits, or from none; `None` if the key no longer
    /// exists. If the limits are not `enforced`, the request passes and is counted in any case.
    fn admit(
        &self,
        key: &KeyRecord<'_>,
        limits: &Limits,
        enforced: bool,
        now: i64,
    ) -> Result<Option<Quota>, Unavailable>;
}

/// The settings of an operator.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'s> {
    /// The format of keys.
    pub keys: &'s KeyFormat,
    /// Checks that refuse nothing. The checks after them refuse as usual, as far as they can be
    /// made: most need a key.
    pub shadow: &'s [Code],
}

/// A recorder of every check on the way.
pub trait Trace {
    /// Records the check that refuses with `code`, whether the request passed it, and its values.
    fn step(&mut self, code: Code, passed: bool, compared: impl FnOnce() -> String);
}

/// A trace that records nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Trace for Silent {
    fn step(&mut self, _: Code, _: bool, _: impl FnOnce() -> String) {}
}

/// The result of a decision.
#[derive(Debug)]
pub struct Verdict {
    /// The first check that applied.
    pub code: Code,
    /// The first check that would have refused, were it not shadowed.
    pub shadowed: Option<Code>,
    /// The number of the route rule that applies, from 1.
    pub rule: Option<usize>,
    /// The key, if the request names one that exists.
    pub entry: Option<Rc<Entry>>,
    /// The policy's subaccount that the request acts on, if it names one where a rule looks for it.
    pub subaccount: Option<usize>,
    /// The remaining part of the key's limits, if they were checked.
    pub quota: Option<Quota>,
    /// The word that stands before a malformed key.
    pub word: Option<&'static str>,
}

impl Verdict {
    /// The verdict without data to decide by.
    pub const NOT_READY: Self = Self::of(Code::NotReady);

    const fn of(code: Code) -> Self {
        Self {
            code,
            shadowed: None,
            rule: None,
            entry: None,
            subaccount: None,
            quota: None,
            word: None,
        }
    }
}

/// Decides on a request. Without a snapshot to decide by it fails, and the code is
/// [`Code::NotReady`].
pub fn decide(
    source: &impl Source,
    request: &impl Request,
    settings: Settings<'_>,
    trace: &mut impl Trace,
) -> Result<Verdict, Unavailable> {
    let snapshot = source.settings()?;
    let routes = &snapshot.routes;
    let asked = Asked::of(request, routes)?;
    let matched = asked
        .as_ref()
        .map_or(Match::Unmatched(Unmatched::ValidKey), |asked| {
            routes.find(&asked.target())
        });
    if let Match::Rule(Route {
        number,
        access: Access::Public,
    }) = matched
    {
        trace.step(Code::Public, true, || {
            format!("rule {number} is public: the request needs no key")
        });
        return Ok(Verdict {
            rule: Some(*number),
            ..Verdict::of(Code::Public)
        });
    }
    trace.step(Code::Public, false, || described(&matched, asked.as_ref()));
    source.check_staleness()?;
    trace.step(Code::NotReady, true, || {
        "a snapshot is available".to_owned()
    });
    let asked = asked.as_ref();
    let mut checks = Checks {
        settings,
        snapshot: &snapshot,
        asked,
        matched,
        trace,
        shadowed: None,
        word: None,
    };
    let sought = match checks.credential(&request.credential(), source)? {
        Ok(Some(sought)) => sought,
        Ok(None) => return Ok(checks.without_key()),
        Err(code) => return Ok(checks.verdict(code)),
    };
    let found = source.find(&sought.digest)?;
    let entry = match checks.existence(&sought, found) {
        Ok(Some(entry)) => entry,
        Ok(None) => return Ok(checks.without_key()),
        Err(code) => return Ok(checks.verdict(code)),
    };

    let (key, policy) = (entry.key(), &*entry.policy);
    let now = source.now()?;
    if let Err(code) = checks
        .key(&key, policy, || request.source_address(), now)
        .and_then(|()| checks.access(policy))
    {
        return Ok(Verdict {
            entry: Some(entry),
            ..checks.verdict(code)
        });
    }
    let place = checks.place();
    let header = match place {
        Some(Place::Header(name)) => request.header(name)?,
        _ => None,
    };
    let named = place
        .zip(asked)
        .map(|(place, asked)| place.named(&asked.target(), header.as_deref()));
    let (mut subaccount, mut quota) = (None, None);
    let code = match checks.subaccount(policy, named) {
        Err(code) => code,
        Ok(found) => {
            subaccount = found;
            let enforced = !settings.shadow.contains(&Code::RateLimited);
            quota = source.admit(&key, &policy.limits, enforced, now)?;
            checks.limits(quota.as_ref()).err().unwrap_or(Code::Allowed)
        }
    };
    Ok(Verdict {
        subaccount,
        quota,
        entry: Some(entry),
        ..checks.verdict(code)
    })
}

/// The parts of the request that route rules are matched with.
struct Asked<'r> {
    host: Cow<'r, [u8]>,
    method: Cow<'r, [u8]>,
    path: Cow<'r, [u8]>,
}

impl<'r> Asked<'r> {
    /// Reads the parts that the rules depend on; `None` if there are no rules.
    fn of(request: &'r impl Request, routes: &Routes) -> Result<Option<Self>, Unavailable> {
        if routes.is_empty() {
            return Ok(None);
        }
        let header = |wanted: bool, name| {
            if wanted {
                request.header(name)
            } else {
                Ok(None)
            }
        };
        Ok(Some(Self {
            host: header(routes.reads_host(), ":authority")?.unwrap_or_default(),
            method: header(routes.reads_method(), ":method")?.unwrap_or_default(),
            path: header(true, ":path")?.unwrap_or_default(),
        }))
    }

    fn target(&self) -> Target<'_> {
        Target {
            host: &self.host,
            method: &self.method,
            path: &self.path,
        }
    }
}

/// A key that is to be looked up.
struct Sought {
    digest: KeyDigest,
    /// True if the value does not have the form of our keys: it is a key only if it was imported.
    foreign: bool,
}

/// The values among several that can be keys.
enum Counted<'v> {
    None,
    One(&'v [u8]),
    /// Two or more values.
    All,
}

/// The checks that refuse, each `Err` with its code unless it is shadowed.
struct Checks<'c, T> {
    settings: Settings<'c>,
    snapshot: &'c SnapshotSettings,
    asked: Option<&'c Asked<'c>>,
    matched: Match<'c>,
    trace: &'c mut T,
    /// The first shadowed check that would have refused.
    shadowed: Option<Code>,
    word: Option<&'static str>,
}

impl<'c, T: Trace> Checks<'c, T> {
    fn verdict(&self, code: Code) -> Verdict {
        Verdict {
            shadowed: self.shadowed,
            rule: self.matched.number(),
            word: self.word,
            ..Verdict::of(code)
        }
    }

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

    /// Checks rows 3 to 5. Returns the key to look up; `None` if the request names none and passes
    /// without it.
    fn credential(
        &mut self,
        credential: &Credential<'_>,
        source: &impl Source,
    ) -> Result<Result<Option<Sought>, Code>, Unavailable> {
        let presented = match credential {
            Credential::Known(digest) => {
                return Ok(Ok(Some(Sought {
                    digest: *digest,
                    foreign: false,
                })));
            }
            Credential::Presented(presented) => presented,
        };
        let counted = match presented {
            Presented::None | Presented::One(_) | Presented::TooMany => Counted::All,
            Presented::Several(candidates) => self.counted(candidates, source)?,
        };
        Ok(self.candidate(presented, &counted))
    }

    /// Returns the values that can be keys: those that begin like ours, and imported ones.
    fn counted<'v>(
        &self,
        candidates: &'v [Cow<'_, [u8]>],
        source: &impl Source,
    ) -> Result<Counted<'v>, Unavailable> {
        let mut counted = Counted::None;
        for candidate in candidates {
            let ours = is_ours(candidate, self.settings.keys);
            let foreign = !ours && self.snapshot.imported && may_be_imported(candidate);
            if ours || (foreign && source.find(&KeyDigest::of(candidate))?.is_some()) {
                counted = match counted {
                    Counted::None => Counted::One(candidate),
                    Counted::One(one) => match self.without_word(one, candidate) {
                        Some(one) => Counted::One(one),
                        None => return Ok(Counted::All),
                    },
                    Counted::All => return Ok(Counted::All),
                };
            }
        }
        Ok(counted)
    }

    /// If both values are the same key, returns it without the word that may stand before it.
    fn without_word<'v>(&self, one: &'v [u8], other: &'v [u8]) -> Option<&'v [u8]> {
        let [bare, other_bare] = [one, other].map(|value| without_word(value, self.settings.keys));
        (bare == other_bare).then_some(if bare.len() == one.len() { one } else { other })
    }

    fn candidate(
        &mut self,
        presented: &Presented<'_>,
        counted: &Counted<'_>,
    ) -> Result<Option<Sought>, Code> {
        let some = *presented != Presented::None;
        self.check(Code::MissingKey, some, || {
            if some {
                "the request has a key"
            } else {
                "the request has no key"
            }
            .to_owned()
        })?;
        let (candidate, compared) = match (presented, counted) {
            (Presented::None, _) => return Ok(None),
            (Presented::One(candidate), _) => {
                (Some(&**candidate), "the request has one key".to_owned())
            }
            (Presented::Several(_), Counted::One(candidate)) => (
                Some(*candidate),
                "only one of several values can be a key; the others are ignored".to_owned(),
            ),
            (Presented::Several(_), Counted::None) => (
                Some(&b""[..]),
                "none of several values can be a key".to_owned(),
            ),
            (Presented::Several(_), Counted::All) => (None, "the request has two keys".to_owned()),
            (Presented::TooMany, _) => (
                None,
                format!("the request has more than {MAX_CANDIDATES} values"),
            ),
        };
        self.check(Code::AmbiguousKey, candidate.is_some(), || compared)?;
        let Some(candidate) = candidate else {
            return Ok(None);
        };
        let form = self.settings.keys.check(candidate);
        if form.is_err() && self.snapshot.imported && may_be_imported(candidate) {
            return Ok(Some(Sought {
                digest: KeyDigest::of(candidate),
                foreign: true,
            }));
        }
        if form.is_err() {
            self.word = word_before_key(candidate, self.settings.keys);
        }
        let word = self.word;
        self.check(Code::MalformedKey, form.is_ok(), || match (form, word) {
            (Ok(_), _) => "its format and checksum are valid".to_owned(),
            (Err(_), Some(word)) => {
                format!("the word {word} precedes the key; the key must be sent without it")
            }
            (Err(error), None) => error.to_string(),
        })?;
        Ok(form.is_ok().then(|| Sought {
            digest: KeyDigest::of(candidate),
            foreign: false,
        }))
    }

    /// Checks row 6, and row 5 for a key that does not have the form of ours. Returns `None` if the
    /// key does not exist, and the request passes without it.
    fn existence(
        &mut self,
        sought: &Sought,
        found: Option<Rc<Entry>>,
    ) -> Result<Option<Rc<Entry>>, Code> {
        let exists = found.is_some();
        if sought.foreign {
            let was = if exists { "it was" } else { "no such key was" };
            self.check(Code::MalformedKey, exists, || {
                format!("its format is not Latchkey's, and {was} imported")
            })?;
        }
        if exists || !sought.foreign {
            let told = if exists {
                "the key exists"
            } else {
                "the key does not exist or has been revoked"
            };
            self.check(Code::InvalidKey, exists, || told.to_owned())?;
        }
        Ok(found)
    }

    /// Checks rows 7 to 9.
    fn key(
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
    fn without_key(&mut self) -> Verdict {
        let code = self.rule().err().unwrap_or(Code::Allowed);
        self.verdict(code)
    }

    /// Checks the part of row 10 that depends on no key: there is a rule, if one is required.
    fn rule(&mut self) -> Result<(), Code> {
        match self.matched {
            Match::Ambiguous | Match::Disputed { .. } | Match::Unmatched(Unmatched::Deny) => {
                let (matched, asked) = (self.matched, self.asked);
                self.check(Code::OutOfScope, false, || described(&matched, asked))
            }
            Match::Rule(_) | Match::Unmatched(Unmatched::ValidKey) => Ok(()),
        }
    }

    /// Returns the place where the rule looks for the request's subaccount.
    fn place(&self) -> Option<&'c Place> {
        match self.matched {
            Match::Rule(Route {
                access: Access::Key { subaccount, .. },
                ..
            }) => subaccount.as_ref(),
            _ => None,
        }
    }

    /// Checks rows 10 and 11.
    fn access(&mut self, policy: &Policy) -> Result<(), Code> {
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
    fn subaccount(
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
    fn limits(&mut self, quota: Option<&Quota>) -> Result<(), Code> {
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

fn described(matched: &Match<'_>, asked: Option<&Asked<'_>>) -> String {
    match matched {
        Match::Rule(Route { number, .. }) => format!("rule {number} applies"),
        Match::Unmatched(Unmatched::ValidKey) => {
            "no rule applies: a valid key is enough".to_owned()
        }
        Match::Unmatched(Unmatched::Deny) => {
            "no rule applies, and such requests are denied".to_owned()
        }
        Match::Disputed { written, folded } => {
            let rule = |number: &Option<NonZeroU16>| {
                number.map_or("no rule".to_owned(), |number| format!("rule {number}"))
            };
            format!(
                "{} applies to the path as written, {} if letter case, and dots and spaces at the \
                 end of a segment, are ignored: they have different requirements, so neither \
                 applies",
                rule(written),
                rule(folded)
            )
        }
        Match::Ambiguous => match asked.and_then(|asked| asked.target().ambiguity()) {
            Some(ambiguity) => format!("the path {ambiguity}, so no rule applies"),
            None => {
                "host or method can be read in more than one way, so no rule applies".to_owned()
            }
        },
    }
}

fn shown(address: Option<IpAddr>) -> String {
    address.map_or("an unknown address".to_owned(), |address| {
        address.to_string()
    })
}

#[cfg(test)]
mod tests;
