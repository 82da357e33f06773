//! Loading a whole snapshot in several parts.

use crate::model::{EPOCH, Model, Owned, load};
use crate::takeover::{Mortal, Preempted};
use latchkey_policy::cells::Cells;
use latchkey_policy::snapshot::{ApplyError, Image, Reader, Tag, Unavailable, Writer};
use latchkey_policy::table::WriteError;
use latchkey_policy::test_util::MemoryCells;
use std::cell::{Cell, RefCell};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const IMAGE: Image = [3; 16];

/// Creates a model with more keys than were announced, so that pages are split, and with a rule.
fn model() -> Model {
    Model {
        routed: Some(5),
        ..Model::of(300)
    }
}

/// Returns the batches of the image, and the one that publishes.
fn batches(model: &Model) -> Vec<Owned> {
    let mut batches = model.whole();
    let published = Owned {
        revision: batches.last_mut().and_then(|last| last.revision.take()),
        ..Owned::default()
    };
    batches.push(published);
    batches
}

/// Applies the batches after the first `done`.
fn go_on(
    writer: &mut Writer,
    cells: &impl Cells,
    batches: &[Owned],
    done: u64,
) -> Result<(), ApplyError> {
    for batch in &batches[usize::try_from(done).unwrap()..] {
        writer.apply(cells, &batch.batch())?;
    }
    Ok(())
}

/// Loads the snapshot by a new writer, from the point that its predecessor reached if that is
/// known. Returns the number of batches that were already loaded.
fn load_on(cells: &impl Cells, term: u32, batches: &[Owned]) -> Result<u64, ApplyError> {
    let mut writer = Writer::take_over(cells, term)?;
    let done = writer.progress().map_or(0, |(image, done)| {
        assert_eq!(image, IMAGE);
        done
    });
    if done > 0 {
        writer.continue_load(cells, EPOCH, done)?;
    } else {
        writer.begin_image(EPOCH, 40, Some(IMAGE));
    }
    go_on(&mut writer, cells, batches, done)?;
    Ok(done)
}

#[test]
fn load_resumes_after_any_write() {
    let model = model();
    let batches = batches(&model);
    let mut resumed_from = 0;
    for pause in 0.. {
        let cells = MemoryCells::default();
        let mortal = Mortal {
            cells: &cells,
            writes: Cell::new(pause),
        };
        let done = load_on(&mortal, 1, &batches).is_ok();
        if done {
            assert!(
                pause > 60 && resumed_from > 5,
                "{pause} writes, resumed from {resumed_from}"
            );
            return;
        }
        let is_published = Reader::default().view(&cells).is_ok();
        let from = load_on(&cells, 2, &batches).unwrap();
        assert!(
            from >= resumed_from || is_published,
            "progress is never lost"
        );
        resumed_from = from.max(resumed_from);
        model.assert_is_what_readers_see(&cells, &mut Reader::default());
    }
}

#[test]
fn late_loader_behind_its_successor_changes_nothing() {
    let model = model();
    let batches = batches(&model);
    let mut begun_anew = 0;
    for pause in 0.. {
        let cells = MemoryCells::default();
        // The successor loads to the end, or half way: then the sleeper wakes up while it is still
        // loading.
        let half = pause % 2 == 0;
        let successor = RefCell::new(None);
        let other = || {
            let mut writer = Writer::take_over(&cells, 2).unwrap();
            let done = writer.progress().map_or(0, |(_, done)| done);
            if done > 0 {
                writer.continue_load(&cells, EPOCH, done).unwrap();
            } else {
                writer.begin_image(EPOCH, 40, Some(IMAGE));
            }
            let end = if half {
                (usize::try_from(done).unwrap() + 2).min(batches.len())
            } else {
                batches.len()
            };
            go_on(&mut writer, &cells, &batches[..end], done).unwrap();
            successor.replace(Some((writer, end)));
        };
        let preempted = Preempted {
            cells: &cells,
            writes_left: Cell::new(pause),
            other: RefCell::new(Some(Box::new(other))),
        };
        let outcome = load_on(&preempted, 1, &batches);
        if preempted.other.take().is_some() {
            assert!(pause > 60);
            println!("{begun_anew} successors met a split");
            return;
        }
        assert!(outcome.is_err(), "pause before write {pause}");
        let (mut writer, end) = successor.take().unwrap();
        if go_on(&mut writer, &cells, &batches, u64::try_from(end).unwrap()).is_err() {
            // The sleeper has finished a split: the successor gives its term up and starts again.
            begun_anew += 1;
            let mut writer = Writer::take_over(&cells, 3).unwrap();
            writer.begin_image(EPOCH, 40, Some(IMAGE));
            go_on(&mut writer, &cells, &batches, 0).unwrap();
        }
        model.assert_is_what_readers_see(&cells, &mut Reader::default());
    }
}

#[test]
fn another_load_ends_the_progress() {
    let model = model();
    let batches = batches(&model);
    let cells = MemoryCells::default();
    drop(load(&cells, 1, &model));
    let part = |term| {
        let mut writer = Writer::take_over(&cells, term).unwrap();
        writer.begin_image(EPOCH, 40, Some(IMAGE));
        go_on(&mut writer, &cells, &batches[..3], 0).unwrap();
    };
    let progress = |term| Writer::take_over(&cells, term).unwrap().progress();
    part(2);
    assert_eq!(progress(3), Some((IMAGE, 3)));
    let mut other_epoch = Writer::take_over(&cells, 4).unwrap();
    assert_eq!(
        other_epoch.continue_load(&cells, [1; 16], 3),
        Err(WriteError::Damaged)
    );
    let mut fewer = Writer::take_over(&cells, 5).unwrap();
    fewer.continue_load(&cells, EPOCH, 2).unwrap();
    assert_eq!(progress(6), Some((IMAGE, 2)), "as the control plane counts");
    let mut more = Writer::take_over(&cells, 6).unwrap();
    assert_eq!(
        more.continue_load(&cells, EPOCH, 3),
        Err(WriteError::Damaged)
    );
    Writer::take_over(&cells, 6)
        .unwrap()
        .resume(&cells)
        .unwrap();
    assert_eq!(progress(6), None, "it is swept");
    part(7);
    let mut unnamed = Writer::take_over(&cells, 8).unwrap();
    unnamed.begin(EPOCH, 40);
    go_on(&mut unnamed, &cells, &batches[..1], 0).unwrap();
    assert_eq!(progress(9), None, "it is overwritten");
    part(10);
    drop(load(&cells, 11, &model));
    assert_eq!(progress(12), None, "it is in force");
    cells.tamper(|name, bytes| {
        if name.ends_with("progress") {
            bytes.truncate(3);
        }
    });
    assert_eq!(progress(13), None);
}

#[test]
fn suspended_snapshot_is_hidden_until_resumed() {
    let model = model();
    let cells = MemoryCells::default();
    let mut writer = load(&cells, 1, &model);
    let mut reader = Reader::default();
    assert_eq!((writer.staleness(), writer.tag()), (0, Tag::NONE));
    writer.set_staleness(&cells, 60).unwrap();
    assert_eq!(reader.view(&cells).unwrap().staleness(), 60);
    writer.suspend(&cells).unwrap();
    assert_eq!(reader.view(&cells).err(), Some(Unavailable::Suspended));
    let mut next = Writer::take_over(&cells, 2).unwrap();
    assert_eq!(next.position(), Some((EPOCH, 1)));
    next.resume(&cells).unwrap();
    let change = Owned {
        revision: Some(2),
        ..Owned::default()
    };
    next.apply(&cells, &change.batch()).unwrap();
    assert_eq!(
        reader.view(&cells).err(),
        Some(Unavailable::Suspended),
        "there may be a newer one"
    );
    next.wake(&cells).unwrap();
    assert_eq!(
        (next.staleness(), reader.view(&cells).unwrap().revision()),
        (60, 2)
    );
    assert!(writer.wake(&cells).is_err(), "it was replaced");
}
