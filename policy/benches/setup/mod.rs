//! The common part of the benchmarks and of the count of instructions: a snapshot in memory, and
//! requests decided by it as the filter decides them, except for the host.

pub(crate) mod records;

use latchkey_policy::address::parse_source;
use latchkey_policy::credential::{self, Presented};
use latchkey_policy::key::{KeyDigest, KeyFormat, PlainKey};
use latchkey_policy::ledger;
use latchkey_policy::limit::Limits;
use latchkey_policy::meter::{Owner, Quota};
use latchkey_policy::record::{FORMAT, KeyRecord, PolicyRecord};
use latchkey_policy::route::RouteRules;
use latchkey_policy::settings::{SettingsRecord, SnapshotSettings};
use latchkey_policy::snapshot::{Batch, CachedKey, Epoch, Reader, Unavailable, View, Writer};
use latchkey_policy::test_util::{self, MemoryCells};
use latchkey_policy::verdict::{
    self, Code, Credential, NoTrace, Request, Settings, Source, Verdict,
};
use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

/// The time of all requests, in Unix seconds.
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const EPOCH: Epoch = [7; 16];

/// The client's address, as Envoy returns it and the full policy allows it, and the request's
/// target, which the last rule is for.
pub(crate) const SOURCE: &[u8] = b"10.3.132.7:4711";
pub(crate) const METHOD: &[u8] = b"GET";
pub(crate) const PATH: &[u8] = b"/v4/service_49/zones/example.com/records?page=2";

/// A worker with a snapshot of one key, and a request with that key.
pub(crate) struct Scene {
    cells: MemoryCells,
    reader: Reader,
    settings: KeyFormat,
    request: Asked,
}

impl Scene {
    /// Creates a key with its tier's limit, without rules.
    pub(crate) fn plain() -> Self {
        Self::of(&records::plain_policy(), &RouteRules::default())
    }

    /// Creates a key with IP lists, a scope, permissions and three limits, and many rules.
    pub(crate) fn full() -> Self {
        Self::of(&records::full_policy(), &records::rules())
    }

    fn of(policy: &PolicyRecord, rules: &RouteRules) -> Self {
        let key = records::plain_key();
        let cells = published(rules, policy, [key.digest()]);
        Self {
            cells,
            reader: Reader::default(),
            settings: KeyFormat::default(),
            request: Asked(key),
        }
    }

    /// Decides the request, which passes.
    pub(crate) fn decide(&mut self) -> Verdict {
        let settings = Settings {
            keys: &self.settings,
            shadow: &[],
        };
        let view = RefCell::new(self.reader.view(&self.cells).unwrap());
        let source = Memory {
            cells: &self.cells,
            view,
        };
        let verdict = verdict::decide(&source, &self.request, settings, &mut NoTrace).unwrap();
        assert_eq!(verdict.code, Code::Allowed);
        verdict
    }
}

/// Publishes a snapshot with these rules and this policy, which all of these keys have.
pub(crate) fn published(
    rules: &RouteRules,
    policy: &PolicyRecord,
    keys: impl IntoIterator<Item = KeyDigest>,
) -> MemoryCells {
    let cells = MemoryCells::default();
    let (mut routes, mut policies, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let settings = SettingsRecord::from(rules.clone());
    settings.encode(FORMAT, &mut routes).unwrap();
    policy.encode(&mut policies).unwrap();
    for digest in keys {
        test_util::key(digest, policy.id, "CI")
            .encode(&mut records)
            .unwrap();
    }
    let mut writer = Writer::take_over(&cells, 1).unwrap();
    writer.begin(EPOCH, 0);
    let batch = Batch {
        routes: &routes,
        policies: &policies,
        keys: &records,
        revision: Some(1),
        ..Batch::default()
    };
    writer.apply(&cells, &batch).unwrap();
    cells
}

/// A request with the key in `X-API-Key`.
struct Asked(PlainKey);

impl Request for Asked {
    fn credential(&self) -> Credential<'_> {
        Credential::Presented(Presented::from_candidates(
            credential::in_header(self.0.expose().as_bytes()).map(Cow::Borrowed),
        ))
    }

    fn source_address(&self) -> Option<IpAddr> {
        parse_source(SOURCE)
    }

    fn header(&self, name: &str) -> Result<Option<Cow<'_, [u8]>>, Unavailable> {
        Ok(match name {
            ":method" => Some(METHOD.into()),
            ":path" => Some(PATH.into()),
            _ => None,
        })
    }
}

/// The data that a worker decides by. Each request is counted in shared memory, because allowances
/// belong to the filter.
struct Memory<'m> {
    cells: &'m MemoryCells,
    view: RefCell<View<'m>>,
}

impl Source for Memory<'_> {
    fn settings(&self) -> Result<Rc<SnapshotSettings>, Unavailable> {
        Ok(self.view.borrow().settings())
    }

    fn check_staleness(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn find(&self, digest: &KeyDigest) -> Result<Option<Rc<CachedKey>>, Unavailable> {
        self.view.borrow_mut().find(self.cells, digest)
    }

    fn now(&self) -> Result<i64, Unavailable> {
        Ok(NOW)
    }

    fn admit(
        &self,
        key: &KeyRecord<'_>,
        limits: &Limits,
        _enforced: bool,
        now: i64,
    ) -> Result<Option<Quota>, Unavailable> {
        ledger::change(
            self.cells,
            key.slot,
            Owner::new(&EPOCH, key.number),
            |meter| {
                let quota = meter.admit(limits, now);
                meter.used(key.secret, now, || parse_source(SOURCE));
                quota
            },
        )
    }
}
