//! The control plane's side of a snapshot: a plain map, each change to it as a batch, and the
//! records that readers must see.

use latchkey_policy::cells::Cells;
use latchkey_policy::identity::render;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::{FORMAT, PolicyRecord};
use latchkey_policy::route::{PathSpec, RouteRules, Rule, RuleSpec, Unmatched};
use latchkey_policy::settings::SettingsRecord;
use latchkey_policy::snapshot::{Batch, CachedKey, Epoch, Reader, Unavailable, Writer};
use latchkey_policy::test_util::{self, Random};
use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) const EPOCH: Epoch = [7; 16];

/// The control plane's side: the keys, and each change as a batch.
#[derive(Default, Clone)]
pub(crate) struct Model {
    /// Policy and name by the key's number.
    pub(crate) keys: BTreeMap<u32, (u64, String)>,
    /// The service of the one route rule, if there is a rule.
    pub(crate) routed: Option<u32>,
    pub(crate) revision: u64,
}

/// A batch that owns its bytes.
#[derive(Default, Clone)]
pub(crate) struct Owned {
    pub(crate) routes: Vec<u8>,
    pub(crate) policies: Vec<u8>,
    pub(crate) keys: Vec<u8>,
    pub(crate) removed: Vec<u8>,
    pub(crate) removed_policies: Vec<u8>,
    pub(crate) revision: Option<u64>,
}

impl Owned {
    pub(crate) fn batch(&self) -> Batch<'_> {
        Batch {
            routes: &self.routes,
            policies: &self.policies,
            keys: &self.keys,
            removed_keys: &self.removed,
            removed_policies: &self.removed_policies,
            revision: self.revision,
            ..Batch::default()
        }
    }

    pub(crate) fn route(&mut self, service: u32) {
        let rule = RuleSpec {
            host: None,
            methods: None,
            path: PathSpec::Prefix("/".into()),
            public: false,
            service: Some(service_name(service)),
            permission: None,
            subaccount: None,
        };
        let rules = RouteRules::new(vec![Rule::new(rule).unwrap()], Unmatched::Deny).unwrap();
        SettingsRecord::from(rules)
            .encode(FORMAT, &mut self.routes)
            .unwrap();
    }

    pub(crate) fn put(&mut self, number: u32, policy: u64, name: &str) {
        let record = PolicyRecord {
            user: format!("usr_{policy}"),
            ..test_util::policy(policy)
        };
        record.encode(&mut self.policies).unwrap();
        let key = test_util::key(digest(number), policy, name);
        key.encode(&mut self.keys).unwrap();
    }
}

pub(crate) fn service_name(service: u32) -> String {
    format!("service_{service}")
}

/// Finds a key as a request does.
pub(crate) fn find(
    reader: &mut Reader,
    cells: &impl Cells,
    number: u32,
) -> Result<Option<Rc<CachedKey>>, Unavailable> {
    for _ in 0..4 {
        match reader.view(cells)?.find(cells, &digest(number)) {
            Err(Unavailable::Moved) => {}
            found => return found,
        }
    }
    Err(Unavailable::Damaged)
}

pub(crate) fn digest(number: u32) -> KeyDigest {
    KeyDigest::of(&number.to_le_bytes())
}

impl Model {
    /// Creates a number of keys of one policy, at revision 1.
    pub(crate) fn of(keys: u32) -> Self {
        Self {
            keys: (0..keys)
                .map(|number| (number, (1, "name".into())))
                .collect(),
            revision: 1,
            ..Self::default()
        }
    }

    pub(crate) fn change(&mut self, random: &mut Random) -> Owned {
        let mut batch = Owned::default();
        for _ in 0..=random.below(20) {
            let number = random.below(300);
            if random.below(3) == 0 {
                self.keys.remove(&number);
                batch.removed.extend(digest(number).0);
            } else {
                let (policy, name) = (
                    u64::from(random.below(40)),
                    format!("key {}", random.below(1000)),
                );
                batch.put(number, policy, &name);
                // Removals come last in a batch.
                if !batch.removed.as_chunks().0.contains(&digest(number).0) {
                    self.keys.insert(number, (policy, name));
                }
            }
        }
        if random.below(8) == 0 {
            let service = random.below(1000);
            batch.route(service);
            self.routed = Some(service);
        }
        self.revision += 1;
        batch.revision = Some(self.revision);
        batch
    }

    pub(crate) fn whole(&self) -> Vec<Owned> {
        let mut batches = vec![Owned::default()];
        match self.routed {
            Some(service) => batches[0].route(service),
            None => batches[0].routes = test_util::no_routes(),
        }
        for (number, (policy, name)) in &self.keys {
            if batches.last().unwrap().keys.len() > 1000 {
                batches.push(Owned::default());
            }
            batches.last_mut().unwrap().put(*number, *policy, name);
        }
        batches.last_mut().unwrap().revision = Some(self.revision);
        batches
    }

    pub(crate) fn assert_is_what_readers_see(&self, cells: &impl Cells, reader: &mut Reader) {
        let settings = reader.view(cells).unwrap().settings();
        let services: Vec<_> = self
            .routed
            .map(|service| service_name(service).into())
            .into_iter()
            .collect();
        assert_eq!(
            settings.routes.services(),
            services,
            "rules at revision {}",
            self.revision
        );
        for number in 0..300 {
            let found = find(reader, cells, number).unwrap();
            let found = found.map(|entry| {
                let key = entry.key();
                assert!(
                    render(&key, &entry.policy.identity, None)
                        .contains(&format!("user=\"usr_{}\"", key.policy))
                );
                (key.policy, key.name.to_owned())
            });
            assert_eq!(
                found.as_ref(),
                self.keys.get(&number),
                "key {number} at revision {}",
                self.revision
            );
        }
    }
}

pub(crate) fn load(cells: &impl Cells, term: u32, model: &Model) -> Writer {
    let mut writer = Writer::take_over(cells, term).unwrap();
    writer.begin(EPOCH, model.keys.len() as u64);
    for batch in model.whole() {
        writer.apply(cells, &batch.batch()).unwrap();
    }
    writer
}
