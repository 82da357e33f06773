//! Decides on requests with keys of a snapshot, by the code of the filter.

use crate::node::{HeldKey, Snapshot};
use latchkey_policy::key::{KeyDigest, KeyFormat};
use latchkey_policy::limit::{Limits, Window};
use latchkey_policy::meter::{Meter, Owner, Quota};
use latchkey_policy::policy::Policy;
use latchkey_policy::record::{KeyRecord, PolicyRecord};
use latchkey_policy::settings::SnapshotSettings;
use latchkey_policy::snapshot::{CachedKey, Unavailable};
use latchkey_policy::verdict::{self, Code, Credential, NoTrace, Request, Settings, Source};
use std::borrow::Cow;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

/// A request, and the earlier use of its key.
#[derive(Debug, Clone)]
pub(super) struct TrialRequest {
    pub(super) path: &'static str,
    pub(super) subaccount: Option<String>,
    pub(super) source: Option<IpAddr>,
    pub(super) now: i64,
    /// The number of requests that were admitted in the current window.
    pub(super) used: (Window, u32),
}

/// All keys of a snapshot.
pub(super) struct Evaluator {
    settings: Rc<SnapshotSettings>,
    entries: HashMap<KeyDigest, Rc<CachedKey>>,
    /// The digests and policies of the keys by their names.
    keys: HashMap<String, (KeyDigest, PolicyRecord)>,
}

impl Evaluator {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        let settings = snapshot.settings.as_ref().unwrap();
        let settings = Rc::new(SnapshotSettings::compile(settings));
        let compile = |(id, record): (&u64, &PolicyRecord)| {
            (*id, Rc::new(Policy::compile(record, &settings)))
        };
        let policies: HashMap<_, _> = snapshot.policies.iter().map(compile).collect();
        let entry = |(digest, key): (&KeyDigest, &HeldKey)| {
            let record = KeyRecord {
                digest: *digest,
                policy: key.policy,
                number: key.number,
                slot: key.slot,
                secret: key.secret,
                expires_at: key.expires_at,
                disabled: key.disabled,
                id: key.id.strip_prefix("key_").unwrap(),
                name: &key.name,
            };
            Some((
                *digest,
                Rc::new(CachedKey::from_live_record(
                    &record,
                    Rc::clone(&policies[&key.policy]),
                )?),
            ))
        };
        let entries = snapshot.keys.iter().filter_map(entry).collect();
        let name = |(digest, key): (&KeyDigest, &HeldKey)| {
            (
                key.name.clone(),
                (*digest, snapshot.policies[&key.policy].clone()),
            )
        };
        Self {
            settings,
            entries,
            keys: snapshot.keys.iter().map(name).collect(),
        }
    }

    /// Returns the policy of the key of that name.
    pub(super) fn policy(&self, name: &str) -> &PolicyRecord {
        &self.keys[name].1
    }

    /// Returns whether the filter admits the request with the key of that name.
    pub(super) fn admits(&self, name: &str, trial: &TrialRequest) -> bool {
        let request = WithKey {
            digest: self.keys[name].0,
            trial,
        };
        let keys = KeyFormat::default();
        let source = At {
            evaluator: self,
            trial,
        };
        let verdict = verdict::decide(
            &source,
            &request,
            Settings {
                keys: &keys,
                shadow: &[],
            },
            &mut NoTrace,
        );
        verdict.unwrap().code == Code::Allowed
    }
}

struct WithKey<'a> {
    digest: KeyDigest,
    trial: &'a TrialRequest,
}

impl Request for WithKey<'_> {
    fn credential(&self) -> Credential<'_> {
        Credential::Known(self.digest)
    }

    fn source_address(&self) -> Option<IpAddr> {
        self.trial.source
    }

    fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Unavailable> {
        let value = match name {
            ":authority" => Some("upstream.test"),
            ":method" => Some("GET"),
            ":path" => Some(self.trial.path),
            "x-subaccount" => self.trial.subaccount.as_deref(),
            _ => None,
        };
        Ok(value.map(|value| Cow::Borrowed(value.as_bytes())))
    }
}

/// A snapshot at the time of a request.
struct At<'a> {
    evaluator: &'a Evaluator,
    trial: &'a TrialRequest,
}

impl Source for At<'_> {
    fn settings(&self) -> Result<Rc<SnapshotSettings>, Unavailable> {
        Ok(Rc::clone(&self.evaluator.settings))
    }

    fn check_staleness(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn find(&self, digest: &KeyDigest) -> Result<Option<Rc<CachedKey>>, Unavailable> {
        Ok(self.evaluator.entries.get(digest).cloned())
    }

    fn now(&self) -> Result<i64, Unavailable> {
        Ok(self.trial.now)
    }

    fn admit(
        &self,
        key: &KeyRecord<'_>,
        limits: &Limits,
        _enforced: bool,
        now: i64,
    ) -> Result<Option<Quota>, Unavailable> {
        let mut meter = Meter::new(Owner::new(&[0; 16], key.number));
        let (window, used) = self.trial.used;
        meter.elsewhere(window, window.number(now), used, now);
        Ok(Some(meter.quota(limits, now)))
    }
}
