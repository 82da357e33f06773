//! The snapshot in shared cells against a plain map, with writers that come, go and wake up again.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use latchkey_policy::cells::{Cell, CellError, Cells, Expect};
use latchkey_policy::identity::render;
use latchkey_policy::key::KeyDigest;
use latchkey_policy::record::PolicyRecord;
use latchkey_policy::snapshot::{ApplyError, Batch, Epoch, Reader, Unavailable, Writer};
use latchkey_policy::table::WriteError;
use latchkey_policy::test_util::{self, MemoryCells, Random};
use std::cell::RefCell;
use std::collections::BTreeMap;

const EPOCH: Epoch = [7; 16];

/// The control plane's side: what keys there are, and each change as a batch.
#[derive(Default, Clone)]
struct Model {
    /// Policy and name by the key's number.
    keys: BTreeMap<u32, (u64, String)>,
    revision: u64,
}

/// A batch that owns its bytes.
#[derive(Default, Clone)]
struct Owned {
    policies: Vec<u8>,
    keys: Vec<u8>,
    removed: Vec<u8>,
    removed_policies: Vec<u8>,
    revision: Option<u64>,
}

impl Owned {
    fn batch(&self) -> Batch<'_> {
        Batch {
            policies: &self.policies,
            keys: &self.keys,
            removed_keys: &self.removed,
            removed_policies: &self.removed_policies,
            revision: self.revision,
        }
    }

    fn put(&mut self, number: u32, policy: u64, name: &str) {
        let record = PolicyRecord { user: format!("usr_{policy}"), ..test_util::policy(policy) };
        record.encode(&mut self.policies).unwrap();
        let key = test_util::key(digest(number), policy, name);
        key.encode(&mut self.keys).unwrap();
    }
}

fn digest(number: u32) -> KeyDigest {
    KeyDigest::of(&number.to_le_bytes())
}

impl Model {
    /// So many keys of one policy, at revision 1.
    fn of(keys: u32) -> Self {
        Self { keys: (0..keys).map(|number| (number, (1, "name".into()))).collect(), revision: 1 }
    }

    fn change(&mut self, random: &mut Random) -> Owned {
        let mut batch = Owned::default();
        for _ in 0..=random.below(20) {
            let number = random.below(300);
            if random.below(3) == 0 {
                self.keys.remove(&number);
                batch.removed.extend(digest(number).0);
            } else {
                let (policy, name) = (u64::from(random.below(40)), format!("key {}", random.below(1000)));
                batch.put(number, policy, &name);
                // Removals come last in a batch.
                if !batch.removed.as_chunks().0.contains(&digest(number).0) {
                    self.keys.insert(number, (policy, name));
                }
            }
        }
        self.revision += 1;
        batch.revision = Some(self.revision);
        batch
    }

    fn whole(&self) -> Vec<Owned> {
        let mut batches = vec![Owned::default()];
        for (number, (policy, name)) in &self.keys {
            if batches.last().unwrap().keys.len() > 1000 {
                batches.push(Owned::default());
            }
            batches.last_mut().unwrap().put(*number, *policy, name);
        }
        batches.last_mut().unwrap().revision = Some(self.revision);
        batches
    }

    fn assert_is_what_readers_see(&self, cells: &impl Cells, reader: &mut Reader) {
        for number in 0..300 {
            let found = reader.view(cells).unwrap().find(cells, &digest(number)).unwrap();
            let found = found.map(|entry| {
                let key = entry.key().unwrap();
                assert!(render(&key, &entry.policy.identity).contains(&format!("user=\"usr_{}\"", key.policy)));
                (key.policy, key.name.to_owned())
            });
            assert_eq!(found.as_ref(), self.keys.get(&number), "key {number} at revision {}", self.revision);
        }
    }
}

fn load(cells: &impl Cells, term: u32, model: &Model) -> Writer {
    let mut writer = Writer::take_over(cells, term).unwrap();
    writer.begin(cells, EPOCH, model.keys.len() as u64).unwrap();
    for batch in model.whole() {
        writer.apply(cells, &batch.batch()).unwrap();
    }
    writer
}

#[test]
fn readers_see_the_model_through_changes_takeovers_and_new_snapshots() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let cells = MemoryCells::default();
        let mut reader = Reader::default();
        let mut model = Model { revision: 1, ..Model::default() };
        let mut term = 1;
        let mut writer = load(&cells, term, &model);
        for _ in 0..60 {
            match random.below(12) {
                0 => {
                    term += 1;
                    writer = Writer::take_over(&cells, term).unwrap();
                    assert_eq!(writer.position(), Some((EPOCH, model.revision)));
                    writer.resume(&cells).unwrap();
                }
                1 => {
                    term += 1;
                    writer = load(&cells, term, &model);
                }
                2 => writer.sweep(&cells, 3).unwrap(),
                _ => {
                    let batch = model.change(&mut random);
                    assert_eq!(writer.apply(&cells, &batch.batch()), Ok(Some(model.revision)));
                }
            }
            model.assert_is_what_readers_see(&cells, &mut reader);
        }
    }
}

#[test]
fn nothing_is_ready_before_the_first_whole_snapshot() {
    let cells = MemoryCells::default();
    let mut reader = Reader::default();
    assert_eq!(reader.view(&cells).err(), Some(Unavailable::NotReady));
    let mut writer = Writer::take_over(&cells, 1).unwrap();
    assert_eq!(writer.position(), None);
    assert!(writer.resume(&cells).is_err());
    writer.begin(&cells, EPOCH, 0).unwrap();
    let mut batch = Owned::default();
    batch.put(1, 1, "one");
    assert_eq!(writer.apply(&cells, &batch.batch()), Ok(None));
    assert_eq!(reader.view(&cells).err(), Some(Unavailable::NotReady));
    assert_eq!(writer.apply(&cells, &Owned { revision: Some(5), ..Owned::default() }.batch()), Ok(Some(5)));
    assert!(reader.view(&cells).unwrap().find(&cells, &digest(1)).unwrap().is_some());
    assert!(reader.view(&cells).unwrap().find(&cells, &digest(2)).unwrap().is_none());
}

#[test]
fn a_snapshot_that_is_being_built_changes_nothing_for_readers() {
    let cells = MemoryCells::default();
    let mut reader = Reader::default();
    let mut model = Model { revision: 1, ..Model::default() };
    model.keys.insert(1, (1, "old".into()));
    let mut writer = load(&cells, 1, &model);
    writer.begin(&cells, EPOCH, 1).unwrap();
    let mut batch = Owned::default();
    batch.put(2, 2, "new");
    writer.apply(&cells, &batch.batch()).unwrap();
    model.assert_is_what_readers_see(&cells, &mut reader);
    writer.apply(&cells, &Owned { revision: Some(2), ..Owned::default() }.batch()).unwrap();
    model.keys = BTreeMap::from([(2, (2, "new".into()))]);
    model.assert_is_what_readers_see(&cells, &mut reader);
}

/// Runs something else before the n-th write, as if this thread had been preempted there.
struct Preempted<'a> {
    cells: &'a MemoryCells,
    writes_left: std::cell::Cell<usize>,
    other: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Cells for Preempted<'_> {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        self.cells.get(name)
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        if self.writes_left.get() == 0
            && let Some(other) = self.other.take()
        {
            other();
        }
        self.writes_left.set(self.writes_left.get().saturating_sub(1));
        self.cells.set(name, bytes, expect)
    }
}

/// A worker sleeps in the middle of applying a batch, at every possible place; another takes over, follows from the
/// last published revision, and goes on; then the first wakes up.
#[test]
fn a_writer_that_wakes_up_after_another_took_over_changes_nothing() {
    for whole in [false, true] {
        let mut random = Random(11);
        let mut model = Model { revision: 1, ..Model::default() };
        for _ in 0..12 {
            model.change(&mut random);
        }
        let mut interrupted = 0;
        for pause in 0..400 {
            let cells = MemoryCells::default();
            let mut sleeper = load(&cells, 1, &model);
            let mut next = model.clone();
            let mut random = Random(pause as u64);
            // Growing changes, so that pages are split meanwhile.
            let mut batch = next.change(&mut random);
            for number in 300..360 {
                batch.put(number, 1, "more");
            }
            let mut after = next.clone();
            let later = after.change(&mut random);
            let other = || {
                let mut writer = Writer::take_over(&cells, 2).unwrap();
                if whole {
                    writer.begin(&cells, EPOCH, 9).unwrap();
                    for batch in after.whole() {
                        writer.apply(&cells, &batch.batch()).unwrap();
                    }
                } else {
                    writer.resume(&cells).unwrap();
                    writer.apply(&cells, &batch.batch()).unwrap();
                    writer.apply(&cells, &later.batch()).unwrap();
                }
            };
            let preempted = Preempted {
                cells: &cells,
                writes_left: std::cell::Cell::new(pause),
                other: RefCell::new(Some(Box::new(other))),
            };
            let outcome = sleeper.apply(&preempted, &batch.batch());
            let ran = preempted.other.take().is_none();
            if !ran {
                assert_eq!(outcome, Ok(Some(next.revision)));
                break;
            }
            interrupted += 1;
            assert_eq!(outcome, Err(ApplyError::Write(WriteError::Superseded)), "pause before write {pause}");
            assert!(sleeper.apply(&cells, &batch.batch()).is_err());
            after.assert_is_what_readers_see(&cells, &mut Reader::default());
        }
        assert!(interrupted > 20, "the batch takes only {interrupted} writes");
    }
}

/// The sleeper is in the middle of a split that its successor does not come by: the page that it leaves behind must not
/// hide records from the successor.
#[test]
fn a_split_that_is_finished_behind_the_successors_back_hides_nothing() {
    let mut stopped = 0;
    for pause in 0.. {
        let cells = MemoryCells::default();
        let mut model = Model::of(160);
        let mut sleeper = load(&cells, 1, &model);
        // 160 keys in 10 pages: one more splits a page.
        let mut batch = Owned { revision: Some(2), ..Owned::default() };
        batch.put(161, 1, "name");
        let successor = RefCell::new(None);
        let other = || {
            let mut writer = Writer::take_over(&cells, 2).unwrap();
            writer.resume(&cells).unwrap();
            assert_eq!(writer.apply(&cells, &batch.batch()), Ok(Some(2)));
            successor.replace(Some(writer));
        };
        let preempted = Preempted {
            cells: &cells,
            writes_left: std::cell::Cell::new(pause),
            other: RefCell::new(Some(Box::new(other))),
        };
        let _ = sleeper.apply(&preempted, &batch.batch());
        if preempted.other.take().is_some() {
            assert!(pause > 3 && stopped > 0, "{stopped} of {pause} takeovers met a split");
            return;
        }
        let mut writer = successor.take().unwrap();
        let mut term = 2;
        for (revision, number) in (3..).zip(0..160) {
            let mut removal = Owned { revision: Some(revision), ..Owned::default() };
            removal.removed.extend(digest(number).0);
            if writer.apply(&cells, &removal.batch()).is_err() {
                // It gives its term up, and goes on as the next.
                stopped += 1;
                term += 1;
                writer = Writer::take_over(&cells, term).unwrap();
                writer.resume(&cells).unwrap();
                writer.apply(&cells, &removal.batch()).unwrap();
            }
            model.keys.remove(&number);
            model.keys.insert(161, (1, "name".into()));
            model.assert_is_what_readers_see(&cells, &mut Reader::default());
        }
    }
}

/// The same, but the worker never wakes up, and its successor does not know what was already written.
#[test]
fn a_writer_that_never_wakes_up_leaves_nothing_in_the_way() {
    for pause in 0..200 {
        let cells = MemoryCells::default();
        let mut random = Random(3);
        let mut model = Model { revision: 1, ..Model::default() };
        model.change(&mut random);
        let mut writer = load(&cells, 1, &model);
        let mut batch = Owned::default();
        for number in 0..200 {
            batch.put(number, 3, "grown");
            model.keys.insert(number, (3, "grown".into()));
        }
        model.revision += 1;
        batch.revision = Some(model.revision);
        let mortal = Mortal { cells: &cells, writes: std::cell::Cell::new(pause) };
        let done = writer.apply(&mortal, &batch.batch()).is_ok();
        let mut next = Writer::take_over(&cells, 2).unwrap();
        next.resume(&cells).unwrap();
        next.apply(&cells, &batch.batch()).unwrap();
        model.assert_is_what_readers_see(&cells, &mut Reader::default());
        if done {
            assert!(pause > 20);
            return;
        }
    }
    panic!("the batch takes more than 200 writes");
}

/// Memory that takes so many writes and no more.
struct Mortal<'a> {
    cells: &'a MemoryCells,
    writes: std::cell::Cell<usize>,
}

impl Cells for Mortal<'_> {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        self.cells.get(name)
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        let left = self.writes.get().checked_sub(1).ok_or(CellError::Host)?;
        self.writes.set(left);
        self.cells.set(name, bytes, expect)
    }
}

#[test]
fn memory_is_bounded_however_many_keys_come_and_go() {
    let cells = MemoryCells::default();
    let mut writer = Writer::take_over(&cells, 1).unwrap();
    writer.begin(&cells, EPOCH, 0).unwrap();
    let mut revision = 0;
    let mut after_first = None;
    for round in 0..40u32 {
        let mut batch = Owned::default();
        for number in 0..500 {
            batch.put(round * 500 + number, 1, "name");
        }
        if let Some(before) = round.checked_sub(1) {
            for number in 0..500 {
                batch.removed.extend(digest(before * 500 + number).0);
            }
        }
        revision += 1;
        batch.revision = Some(revision);
        writer.apply(&cells, &batch.batch()).unwrap();
        if round == 4 {
            after_first = Some((cells.len(), cells.bytes()));
        }
    }
    let (cells_then, bytes_then) = after_first.unwrap();
    assert!(cells.len() <= cells_then + cells_then / 4, "{} cells, {cells_then} before", cells.len());
    assert!(cells.bytes() <= bytes_then + bytes_then / 4, "{} bytes, {bytes_then} before", cells.bytes());
}

#[test]
fn policies_that_no_key_has_any_more_leave_no_memory_behind() {
    let cells = MemoryCells::default();
    let mut reader = Reader::default();
    let mut writer = Writer::take_over(&cells, 1).unwrap();
    writer.begin(&cells, EPOCH, 0).unwrap();
    let mut after_first = 0;
    for number in 0..500u32 {
        let mut batch = Owned { revision: Some(u64::from(number) + 1), ..Owned::default() };
        batch.put(number, u64::from(number), "its own policy");
        if let Some(before) = number.checked_sub(1) {
            batch.removed.extend(digest(before).0);
            batch.removed_policies.extend(u64::from(before).to_le_bytes());
        }
        writer.apply(&cells, &batch.batch()).unwrap();
        assert!(reader.view(&cells).unwrap().find(&cells, &digest(number)).unwrap().is_some());
        if number == 50 {
            after_first = cells.bytes();
        }
    }
    assert!(cells.bytes() <= after_first + 300, "{} bytes, {after_first} before", cells.bytes());
}

/// A worker reads a key's record; before it reads the policy, key and policy are removed.
#[test]
fn a_policy_that_goes_while_a_reader_is_on_its_way_is_no_damage() {
    let cells = MemoryCells::default();
    let mut model = Model { revision: 1, ..Model::default() };
    model.keys.insert(1, (1, "name".into()));
    let mut writer = load(&cells, 1, &model);
    let mut removal = Owned { revision: Some(2), ..Owned::default() };
    removal.removed.extend(digest(1).0);
    removal.removed_policies.extend(1u64.to_le_bytes());
    let overtaken = Overtaken { cells: &cells, reads: std::cell::Cell::new(0), other: RefCell::new(None) };
    overtaken.other.replace(Some(Box::new(|| assert_eq!(writer.apply(&cells, &removal.batch()), Ok(Some(2))))));
    let found = Reader::default().view(&overtaken).unwrap().find(&overtaken, &digest(1));
    assert!(matches!(found, Ok(None)), "{found:?}");
    assert!(overtaken.other.take().is_none());
}

/// Runs something else before the third read: behind the head and the key's page, before the policy's.
struct Overtaken<'a> {
    cells: &'a MemoryCells,
    reads: std::cell::Cell<usize>,
    other: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Cells for Overtaken<'_> {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        self.reads.set(self.reads.get() + 1);
        if self.reads.get() == 3
            && let Some(other) = self.other.take()
        {
            other();
        }
        self.cells.get(name)
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        self.cells.set(name, bytes, expect)
    }
}

#[test]
fn a_former_snapshot_is_swept_and_readers_on_it_find_the_new_one() {
    let cells = MemoryCells::default();
    let model = Model::of(300);
    drop(load(&cells, 1, &model));
    let one = cells.bytes();
    let mut writer = load(&cells, 2, &model);
    assert!(cells.bytes() > one + one / 2);
    writer.sweep(&cells, 1000).unwrap();
    assert!(cells.bytes() < one + one / 4, "{} bytes after, {one} for one", cells.bytes());
    model.assert_is_what_readers_see(&cells, &mut Reader::default());
}

#[test]
fn a_damaged_batch_changes_nothing() {
    let cells = MemoryCells::default();
    let mut model = Model { revision: 1, ..Model::default() };
    model.keys.insert(1, (1, "name".into()));
    let mut writer = load(&cells, 1, &model);
    let mut good = Owned { revision: Some(2), ..Owned::default() };
    good.put(1, 1, "changed");
    good.put(2, 2, "added");
    good.removed.extend(digest(1).0);
    let damage: [fn(&mut Owned); 6] = [
        |batch| *batch.keys.last_mut().unwrap() ^= 1,
        |batch| assert!(batch.keys.pop().is_some()),
        |batch| batch.policies.push(0),
        |batch| batch.policies[20] ^= 0x80,
        |batch| assert!(batch.removed.pop().is_some()),
        |batch| batch.removed_policies.push(1),
    ];
    for damage in damage {
        let mut batch = good.clone();
        damage(&mut batch);
        assert_eq!(writer.apply(&cells, &batch.batch()), Err(ApplyError::Invalid));
        model.assert_is_what_readers_see(&cells, &mut Reader::default());
        assert_eq!(writer.position(), Some((EPOCH, 1)));
    }
}

/// Whatever one flipped bit in memory does, it never turns an unknown key into a known one, nor one key into another.
#[test]
fn damaged_memory_refuses() {
    let mut model = Model { revision: 1, ..Model::default() };
    for number in 0..3 {
        model.keys.insert(number, (1, format!("key {number}")));
    }
    let cells = MemoryCells::default();
    drop(load(&cells, 1, &model));
    let mut positions = Vec::new();
    cells.tamper(|name, bytes| positions.push((name.to_owned(), bytes.len())));
    let flip = |cell: &str, bit: usize| {
        cells.tamper(|name, bytes| {
            if name == cell {
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        });
    };
    let mut refused = 0;
    for (cell, len) in positions {
        for bit in 0..len * 8 {
            flip(&cell, bit);
            for number in 0..4 {
                let mut reader = Reader::default();
                let found = reader.view(&cells).and_then(|view| view.find(&cells, &digest(number)));
                match found {
                    Ok(Some(entry)) => match entry.key() {
                        Ok(key) => {
                            assert_eq!(key.name, format!("key {number}"));
                            assert_eq!(key.digest, digest(number));
                            assert!(render(&key, &entry.policy.identity).contains("user=\"usr_1\""));
                        }
                        Err(_) => refused += 1,
                    },
                    Ok(None) | Err(_) => refused += 1,
                }
            }
            flip(&cell, bit);
        }
    }
    assert!(refused > 1000);
    model.assert_is_what_readers_see(&cells, &mut Reader::default());
}

#[test]
fn a_successor_sweeps_what_its_predecessors_left() {
    let cells = MemoryCells::default();
    let model = Model::of(300);
    drop(load(&cells, 1, &model));
    let one = cells.bytes();
    // One that is not finished.
    let mut unfinished = Writer::take_over(&cells, 2).unwrap();
    unfinished.begin(&cells, EPOCH, 300).unwrap();
    let batch = model.whole().remove(0);
    unfinished.apply(&cells, &Owned { revision: None, ..batch }.batch()).unwrap();
    assert!(cells.bytes() > one);
    let mut writer = Writer::take_over(&cells, 3).unwrap();
    writer.resume(&cells).unwrap();
    writer.sweep(&cells, 1000).unwrap();
    assert!(cells.bytes() <= one, "{} bytes after, {one} for one", cells.bytes());
    model.assert_is_what_readers_see(&cells, &mut Reader::default());
}
