//! The snapshot in shared cells compared with a plain map.

mod damage;
mod ended;
mod memory;
mod model;
mod progress;
mod takeover;

use latchkey_policy::cells::{Cell, CellError, Cells, Expect};
use latchkey_policy::snapshot::{ApplyError, Reader, Unavailable, Writer};
use latchkey_policy::test_util::{self, MemoryCells, Random};
use model::{EPOCH, Model, Owned, digest, find, load};
use std::cell::RefCell;
use std::collections::BTreeMap;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Includes takeovers and new snapshots.
#[test]
fn readers_agree_with_the_model_through_changes() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let cells = MemoryCells::default();
        let mut reader = Reader::default();
        let mut model = Model {
            revision: 1,
            ..Model::default()
        };
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
                    assert_eq!(
                        writer.apply(&cells, &batch.batch()),
                        Ok(Some(model.revision))
                    );
                }
            }
            model.assert_is_what_readers_see(&cells, &mut reader);
        }
    }
}

#[test]
fn nothing_is_ready_before_the_first_snapshot() {
    let cells = MemoryCells::default();
    let mut reader = Reader::default();
    assert_eq!(reader.view(&cells).err(), Some(Unavailable::NotReady));
    let mut writer = Writer::take_over(&cells, 1).unwrap();
    assert_eq!(writer.position(), None);
    assert!(writer.resume(&cells).is_err());
    writer.begin(EPOCH, 0);
    let mut batch = Owned::default();
    batch.put(1, 1, "one");
    assert_eq!(writer.apply(&cells, &batch.batch()), Ok(None));
    assert_eq!(reader.view(&cells).err(), Some(Unavailable::NotReady));
    let published = Owned {
        revision: Some(5),
        ..Owned::default()
    };
    // Without rules every valid key could do everything.
    assert_eq!(
        writer.apply(&cells, &published.batch()),
        Err(ApplyError::Invalid)
    );
    let published = Owned {
        routes: test_util::no_routes(),
        ..published
    };
    assert_eq!(writer.apply(&cells, &published.batch()), Ok(Some(5)));
    assert!(find(&mut reader, &cells, 1).unwrap().is_some());
    assert!(find(&mut reader, &cells, 2).unwrap().is_none());
}

#[test]
fn unfinished_snapshot_is_invisible_to_readers() {
    let cells = MemoryCells::default();
    let mut reader = Reader::default();
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    model.keys.insert(1, (1, "old".into()));
    let mut writer = load(&cells, 1, &model);
    writer.begin(EPOCH, 1);
    let mut batch = Owned {
        routes: test_util::no_routes(),
        ..Owned::default()
    };
    batch.put(2, 2, "new");
    writer.apply(&cells, &batch.batch()).unwrap();
    model.assert_is_what_readers_see(&cells, &mut reader);
    writer
        .apply(
            &cells,
            &Owned {
                revision: Some(2),
                ..Owned::default()
            }
            .batch(),
        )
        .unwrap();
    model.keys = BTreeMap::from([(2, (2, "new".into()))]);
    model.assert_is_what_readers_see(&cells, &mut reader);
}

/// The announcement named more keys.
#[test]
fn snapshot_with_fewer_keys_is_complete() {
    let cells = MemoryCells::default();
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    model.keys.insert(1, (1, "one".into()));
    drop(load(&cells, 1, &Model::of(300)));
    // The new snapshot is written over the pages of an earlier one.
    drop(load(&cells, 2, &Model::of(100)));
    let mut writer = Writer::take_over(&cells, 3).unwrap();
    writer.begin(EPOCH, 1_000);
    for batch in model.whole() {
        writer.apply(&cells, &batch.batch()).unwrap();
    }
    let mut reader = Reader::default();
    model.assert_is_what_readers_see(&cells, &mut reader);
    let mut random = Random(1);
    for _ in 0..20 {
        writer
            .apply(&cells, &model.change(&mut random).batch())
            .unwrap();
        model.assert_is_what_readers_see(&cells, &mut reader);
    }
}

/// A worker reads a key's record; before it reads the policy, key and policy are removed.
#[test]
fn removed_policy_is_no_damage() {
    let cells = MemoryCells::default();
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    model.keys.insert(1, (1, "name".into()));
    let mut writer = load(&cells, 1, &model);
    let mut removal = Owned {
        revision: Some(2),
        ..Owned::default()
    };
    removal.removed.extend(digest(1).0);
    removal.removed_policies.extend(1u64.to_le_bytes());
    let overtaken = Overtaken {
        cells: &cells,
        reads: std::cell::Cell::new(0),
        other: RefCell::new(None),
    };
    overtaken.other.replace(Some(Box::new(|| {
        assert_eq!(writer.apply(&cells, &removal.batch()), Ok(Some(2)));
    })));
    let found = find(&mut Reader::default(), &overtaken, 1);
    assert!(matches!(found, Ok(None)), "{found:?}");
    assert!(overtaken.other.take().is_none());
}

/// Memory whose reads are counted.
struct Counted<'a> {
    cells: &'a MemoryCells,
    reads: std::cell::Cell<usize>,
    generation: bool,
}

impl Cells for Counted<'_> {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        self.reads.set(self.reads.get() + 1);
        self.cells.get(name)
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        self.cells.set(name, bytes, expect)
    }

    fn generation(&self) -> Option<u64> {
        self.cells.generation().filter(|_| self.generation)
    }

    fn advance_generation(&self) {
        self.cells.advance_generation();
    }
}

#[test]
fn lookup_is_cached_until_a_change() {
    let cells = MemoryCells::default();
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    model.keys.insert(1, (1, "name".into()));
    let mut writer = load(&cells, 1, &model);
    let counted = Counted {
        cells: &cells,
        reads: std::cell::Cell::new(0),
        generation: true,
    };
    let mut reader = Reader::default();
    let reads = |reader: &mut Reader| {
        counted.reads.set(0);
        let found = find(reader, &counted, 1)
            .unwrap()
            .map(|entry| entry.key().name.to_owned());
        (found, counted.reads.get())
    };
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        reads(&mut reader),
        (name("name"), 4),
        "head, rules, page, policy"
    );
    assert_eq!(reads(&mut reader), (name("name"), 0));
    let mut change = Owned {
        revision: Some(2),
        ..Owned::default()
    };
    change.put(1, 1, "renamed");
    writer.apply(&cells, &change.batch()).unwrap();
    assert_eq!(reads(&mut reader), (name("renamed"), 3));
    assert_eq!(reads(&mut reader), (name("renamed"), 0));
    reader.look_again();
    assert_eq!(
        reads(&mut reader),
        (name("renamed"), 1),
        "the head, which is the same"
    );
    let mut removal = Owned {
        revision: Some(3),
        ..Owned::default()
    };
    removal.removed.extend(digest(1).0);
    writer.apply(&cells, &removal.batch()).unwrap();
    assert_eq!(reads(&mut reader).0, None);
}

#[test]
fn missing_generation_reads_the_head() {
    let cells = MemoryCells::default();
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    model.keys.insert(1, (1, "name".into()));
    let _writer = load(&cells, 1, &model);
    let counted = Counted {
        cells: &cells,
        reads: std::cell::Cell::new(0),
        generation: false,
    };
    let mut reader = Reader::default();
    find(&mut reader, &counted, 1).unwrap();
    counted.reads.set(0);
    assert!(find(&mut reader, &counted, 1).unwrap().is_some());
    assert_eq!(counted.reads.get(), 1);
}

/// Memory that runs a function before the fourth read: after the head, the rules and the key's
/// page, and before the policy's.
struct Overtaken<'a> {
    cells: &'a MemoryCells,
    reads: std::cell::Cell<usize>,
    other: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
}

impl Cells for Overtaken<'_> {
    fn get(&self, name: &str) -> Result<Option<Cell>, CellError> {
        self.reads.set(self.reads.get() + 1);
        if self.reads.get() == 4
            && let Some(other) = self.other.take()
        {
            other();
        }
        self.cells.get(name)
    }

    fn set(&self, name: &str, bytes: &[u8], expect: Expect) -> Result<(), CellError> {
        self.cells.set(name, bytes, expect)
    }

    fn generation(&self) -> Option<u64> {
        self.cells.generation()
    }

    fn advance_generation(&self) {
        self.cells.advance_generation();
    }
}
