//! Writers that come, go and wake up again.

use crate::model::{EPOCH, Model, Owned, digest, load};
use latchkey_policy::cells::{Cell, CellError, Cells, Expect};
use latchkey_policy::snapshot::{ApplyError, Reader, Writer};
use latchkey_policy::table::WriteError;
use latchkey_policy::test_util::{MemoryCells, Random};
use std::cell::RefCell;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Memory that runs a function before the n-th write, as if this thread had been preempted there.
pub(crate) struct Preempted<'a> {
    pub(crate) cells: &'a MemoryCells,
    pub(crate) writes_left: std::cell::Cell<usize>,
    pub(crate) other: RefCell<Option<Box<dyn FnOnce() + 'a>>>,
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
        self.writes_left
            .set(self.writes_left.get().saturating_sub(1));
        self.cells.set(name, bytes, expect)
    }

    fn generation(&self) -> Option<u64> {
        self.cells.generation()
    }

    fn advance_generation(&self) {
        self.cells.advance_generation();
    }
}

/// A worker sleeps in the middle of applying a batch, at every possible place; another takes over,
/// follows from the last published revision, and goes on; then the first wakes up.
#[test]
fn late_writer_after_a_takeover_changes_nothing() {
    for whole in [false, true] {
        let mut random = Random(11);
        let mut model = Model {
            revision: 1,
            ..Model::default()
        };
        for _ in 0..12 {
            model.change(&mut random);
        }
        let mut interrupted = 0;
        for pause in 0..400 {
            let cells = MemoryCells::default();
            let mut sleeper = load(&cells, 1, &model);
            let mut next = model.clone();
            let mut random = Random(pause as u64);
            // The changes grow, so that pages are split in between.
            let mut batch = next.change(&mut random);
            for number in 300..360 {
                batch.put(number, 1, "more");
            }
            let mut after = next.clone();
            let later = after.change(&mut random);
            let other = || {
                let mut writer = Writer::take_over(&cells, 2).unwrap();
                if whole {
                    writer.begin(EPOCH, 9);
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
            assert_eq!(
                outcome,
                Err(ApplyError::Write(WriteError::Superseded)),
                "pause before write {pause}"
            );
            assert!(sleeper.apply(&cells, &batch.batch()).is_err());
            after.assert_is_what_readers_see(&cells, &mut Reader::default());
        }
        assert!(
            interrupted > 20,
            "the batch takes only {interrupted} writes"
        );
    }
}

/// The sleeper is in the middle of a split that its successor does not reach: the page that it
/// writes must not hide records from the successor.
#[test]
fn late_page_split_hides_nothing() {
    let mut stopped = 0;
    for pause in 0.. {
        let cells = MemoryCells::default();
        let mut model = Model::of(160);
        let mut sleeper = load(&cells, 1, &model);
        // There are 160 keys in 10 pages: one more splits a page.
        let mut batch = Owned {
            revision: Some(2),
            ..Owned::default()
        };
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
            assert!(
                pause > 3 && stopped > 0,
                "{stopped} of {pause} takeovers met a split"
            );
            return;
        }
        let mut writer = successor.take().unwrap();
        let mut term = 2;
        for (revision, number) in (3..).zip(0..160) {
            let mut removal = Owned {
                revision: Some(revision),
                ..Owned::default()
            };
            removal.removed.extend(digest(number).0);
            if writer.apply(&cells, &removal.batch()).is_err() {
                // The writer gives its term up, and goes on as the next.
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

/// This is the same test, but the worker never wakes up, and its successor does not know which
/// writes were made.
#[test]
fn dead_writer_blocks_nothing() {
    for pause in 0..200 {
        let cells = MemoryCells::default();
        let mut random = Random(3);
        let mut model = Model {
            revision: 1,
            ..Model::default()
        };
        model.change(&mut random);
        let mut writer = load(&cells, 1, &model);
        let mut batch = Owned::default();
        for number in 0..200 {
            batch.put(number, 3, "grown");
            model.keys.insert(number, (3, "grown".into()));
        }
        model.revision += 1;
        batch.revision = Some(model.revision);
        let mortal = Mortal {
            cells: &cells,
            writes: std::cell::Cell::new(pause),
        };
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

/// Memory that takes a number of writes and fails afterwards.
pub(crate) struct Mortal<'a> {
    pub(crate) cells: &'a MemoryCells,
    pub(crate) writes: std::cell::Cell<usize>,
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

    fn generation(&self) -> Option<u64> {
        self.cells.generation()
    }

    fn advance_generation(&self) {
        self.cells.advance_generation();
    }
}
