//! Memory is reused, and freed.

use crate::model::{EPOCH, Model, Owned, digest, find, load};
use latchkey_policy::snapshot::{Reader, Writer};
use latchkey_policy::test_util::{self, MemoryCells};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn key_turnover_leaves_memory_bounded() {
    let cells = MemoryCells::default();
    let mut writer = Writer::take_over(&cells, 1).unwrap();
    writer.begin(EPOCH, 0);
    writer
        .apply(
            &cells,
            &Owned {
                routes: test_util::no_routes(),
                ..Owned::default()
            }
            .batch(),
        )
        .unwrap();
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
    assert!(
        cells.len() <= cells_then + cells_then / 4,
        "{} cells, {cells_then} before",
        cells.len()
    );
    assert!(
        cells.bytes() <= bytes_then + bytes_then / 4,
        "{} bytes, {bytes_then} before",
        cells.bytes()
    );
}

#[test]
fn unused_policies_free_their_memory() {
    let cells = MemoryCells::default();
    let mut reader = Reader::default();
    let mut writer = Writer::take_over(&cells, 1).unwrap();
    writer.begin(EPOCH, 0);
    writer
        .apply(
            &cells,
            &Owned {
                routes: test_util::no_routes(),
                ..Owned::default()
            }
            .batch(),
        )
        .unwrap();
    let mut after_first = 0;
    for number in 0..500u32 {
        let mut batch = Owned {
            revision: Some(u64::from(number) + 1),
            ..Owned::default()
        };
        batch.put(number, u64::from(number), "its own policy");
        if let Some(before) = number.checked_sub(1) {
            batch.removed.extend(digest(before).0);
            batch
                .removed_policies
                .extend(u64::from(before).to_le_bytes());
        }
        writer.apply(&cells, &batch.batch()).unwrap();
        assert!(find(&mut reader, &cells, number).unwrap().is_some());
        if number == 50 {
            after_first = cells.bytes();
        }
    }
    assert!(
        cells.bytes() <= after_first + 300,
        "{} bytes, {after_first} before",
        cells.bytes()
    );
}

#[test]
fn former_snapshot_is_swept_under_its_readers() {
    let cells = MemoryCells::default();
    let model = Model::of(300);
    drop(load(&cells, 1, &model));
    let one = cells.bytes();
    let mut writer = load(&cells, 2, &model);
    assert!(cells.bytes() > one + one / 2);
    writer.sweep(&cells, 1000).unwrap();
    assert!(
        cells.bytes() < one + one / 4,
        "{} bytes after, {one} for one",
        cells.bytes()
    );
    model.assert_is_what_readers_see(&cells, &mut Reader::default());
}

#[test]
fn successor_sweeps_its_predecessors_leftovers() {
    // Of the pages for many expected keys, only a few of the first are written.
    for expected in [300, 100_000] {
        let cells = MemoryCells::default();
        let model = Model::of(300);
        drop(load(&cells, 1, &model));
        let one = cells.bytes();
        // This is a snapshot that is not finished.
        let mut unfinished = Writer::take_over(&cells, 2).unwrap();
        unfinished.begin(EPOCH, expected);
        let batch = model.whole().remove(0);
        unfinished
            .apply(
                &cells,
                &Owned {
                    revision: None,
                    ..batch
                }
                .batch(),
            )
            .unwrap();
        assert!(cells.bytes() > one);
        let mut writer = Writer::take_over(&cells, 3).unwrap();
        writer.resume(&cells).unwrap();
        writer.sweep(&cells, 100_000).unwrap();
        assert!(
            cells.bytes() <= one,
            "{} bytes after, {one} for one",
            cells.bytes()
        );
        model.assert_is_what_readers_see(&cells, &mut Reader::default());
    }
}
