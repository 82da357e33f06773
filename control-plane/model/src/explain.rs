//! The filter's verdict on a described request, and the reasons for it. The filter's own function
//! decides, with the store's data instead of Envoy's memory.

use latchkey_policy::credential::{Presented, in_authorization, in_header, may_be_imported};
use latchkey_policy::key::{KeyDigest, KeyFormat};
use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Meter, Quota};
use latchkey_policy::policy::Policy;
use latchkey_policy::record::{KeyRecord, PolicyRecord};
use latchkey_policy::settings::{SettingsRecord, SnapshotSettings};
use latchkey_policy::snapshot::{CachedKey, Unavailable};
use latchkey_policy::verdict::{self, Code, Credential, Request, Settings, Source, Trace, Verdict};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

/// The description of a request.
#[derive(Debug, Clone)]
pub struct DescribedRequest {
    /// The method, such as `GET`.
    pub method: String,
    /// The `:authority` header.
    pub host: String,
    /// The path with its query.
    pub path: String,
    /// The headers by lower-case name; the values of a repeated header are joined by commas.
    pub headers: BTreeMap<String, String>,
    /// The client address as Envoy trusts it.
    pub source_address: Option<IpAddr>,
    /// The key, if the request names it by id and not in the headers.
    pub key: Option<KeyDigest>,
}

impl DescribedRequest {
    fn value(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name).map(String::as_bytes)
    }

    /// Returns the key in the places where filters look for one by default.
    fn presented(&self) -> Presented<'_> {
        let plain = self.value("x-api-key").into_iter().flat_map(in_header);
        let bearer = self
            .value("authorization")
            .into_iter()
            .flat_map(in_authorization);
        Presented::from_candidates(plain.chain(bearer).map(Cow::Borrowed))
    }

    /// Returns the digests of all keys that the request may contain: generated or imported ones.
    pub fn digests(&self, keys: &KeyFormat) -> Vec<KeyDigest> {
        if let Some(digest) = self.key {
            return vec![digest];
        }

        let candidates = match self.presented() {
            Presented::None | Presented::TooMany => Vec::new(),
            Presented::One(candidate) => vec![candidate],
            Presented::Several(candidates) => candidates,
        };
        let can_exist =
            |candidate: &[u8]| keys.check(candidate).is_ok() || may_be_imported(candidate);
        let candidates = candidates.iter().filter(|candidate| can_exist(candidate));

        candidates
            .map(|candidate| KeyDigest::of(candidate))
            .collect()
    }
}

impl Request for DescribedRequest {
    fn credential(&self) -> Credential<'_> {
        self.key.map_or_else(
            || Credential::Presented(self.presented()),
            Credential::Known,
        )
    }

    fn source_address(&self) -> Option<IpAddr> {
        self.source_address
    }

    fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Unavailable> {
        let value = match name {
            ":authority" => Some(self.host.as_bytes()),
            ":method" => Some(self.method.as_bytes()),
            ":path" => Some(self.path.as_bytes()),
            name => self.value(name),
        };
        Ok(value.map(Cow::Borrowed))
    }
}

/// The data for a verdict, at one revision of the store.
#[derive(Debug, Clone)]
pub struct ExplainInput {
    /// The settings of the snapshot.
    pub settings: SettingsRecord,
    /// The existing keys among those that the request may contain.
    pub keys: Vec<ExplainKey>,
    /// The current time, in Unix seconds.
    pub now: i64,
}

/// A key with the data for its checks.
#[derive(Debug, Clone)]
pub struct ExplainKey {
    /// The key's encoded record.
    pub record: Vec<u8>,
    /// The policy that it shares with other keys.
    pub policy: PolicyRecord,
    /// The requests that all nodes together have admitted.
    pub meter: Meter,
}

/// One check on the way to a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The code of a refusal by this check, or of a public route that this check lets pass.
    pub check: Code,
    /// True if the next check follows.
    pub passed: bool,
    /// The values that were compared.
    pub compared: String,
}

/// A verdict with the checks that led to it.
#[derive(Debug)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// All checks that were made, in order.
    pub steps: Vec<Step>,
}

/// Decides on the request without counting anything.
///
/// # Errors
/// Fails if a record is invalid.
pub fn explain(
    input: &ExplainInput,
    request: &DescribedRequest,
    keys: &KeyFormat,
) -> Result<Explanation, Unavailable> {
    let snapshot = Rc::new(SnapshotSettings::compile(&input.settings));
    let mut steps = Steps(Vec::new());
    let source = Ledger { input, snapshot };
    let verdict = verdict::decide(&source, request, Settings { keys, shadow: &[] }, &mut steps)?;
    Ok(Explanation {
        verdict,
        steps: steps.0,
    })
}

struct Steps(Vec<Step>);

impl Trace for Steps {
    fn step(&mut self, check: Code, passed: bool, compared: impl FnOnce() -> String) {
        self.0.push(Step {
            check,
            passed,
            compared: compared(),
        });
    }
}

/// The input, in the form in which the decision reads them.
struct Ledger<'f> {
    input: &'f ExplainInput,
    snapshot: Rc<SnapshotSettings>,
}

impl Source for Ledger<'_> {
    fn settings(&self) -> Result<Rc<SnapshotSettings>, Unavailable> {
        Ok(Rc::clone(&self.snapshot))
    }

    /// Always succeeds: the store's own data is never stale.
    fn check_staleness(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn find(&self, digest: &KeyDigest) -> Result<Option<Rc<CachedKey>>, Unavailable> {
        let Some((key, record)) = self.key(digest)? else {
            return Ok(None);
        };
        Ok(CachedKey::from_live_record(
            &record,
            Rc::new(Policy::compile(&key.policy, &self.snapshot)),
        )
        .map(Rc::new))
    }

    fn now(&self) -> Result<i64, Unavailable> {
        Ok(self.input.now)
    }

    fn admit(
        &self,
        key: &KeyRecord<'_>,
        limits: &Limits,
        _enforced: bool,
        now: i64,
    ) -> Result<Option<Quota>, Unavailable> {
        Ok(self
            .key(&key.digest)?
            .map(|(key, _)| key.meter.quota(limits, now)))
    }
}

impl<'f> Ledger<'f> {
    /// Returns the key with this digest.
    fn key(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<(&'f ExplainKey, KeyRecord<'f>)>, Unavailable> {
        for key in &self.input.keys {
            let record = KeyRecord::decode(&key.record)?;
            if record.digest == *digest {
                return Ok(Some((key, record)));
            }
        }
        Ok(None)
    }
}
