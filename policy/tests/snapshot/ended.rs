//! Owners that have ended, from the revision that names them to the one without their last keys.

use crate::model::{EPOCH, Model, Owned, digest, find, load};
use crate::takeover::Preempted;
use latchkey_policy::record::FORMAT;
use latchkey_policy::settings::SettingsRecord;
use latchkey_policy::snapshot::{Reader, Unavailable, Writer};
use latchkey_policy::test_util::MemoryCells;
use std::cell::{Cell, RefCell};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const KEYS: u32 = 60;

fn routes(ended: &[&str]) -> Vec<u8> {
    let mut record = Vec::new();
    let ended = ended.iter().map(ToString::to_string).collect();
    SettingsRecord::default()
        .with_ended_owners(ended)
        .encode(FORMAT, &mut record)
        .unwrap();
    record
}

/// Publishes a snapshot with keys of `usr_1` and `usr_2`, of whom the first has ended.
fn published(cells: &MemoryCells) -> Writer {
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    (0..KEYS).for_each(|number| {
        _ = model
            .keys
            .insert(number, (u64::from(number % 2) + 1, "one".into()));
    });
    let mut writer = load(cells, 1, &model);
    writer.resume(cells).unwrap();
    let ended = Owned {
        routes: routes(&["usr_1"]),
        revision: Some(2),
        ..Owned::default()
    };
    assert_eq!(writer.apply(cells, &ended.batch()), Ok(Some(2)));
    writer
}

/// The readers have read the keys before.
#[test]
fn readers_refuse_ended_owners_keys() {
    let cells = MemoryCells::default();
    let mut reader = Reader::default();
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    model.keys.insert(0, (1, "one".into()));
    model.keys.insert(1, (2, "two".into()));
    let mut writer = load(&cells, 1, &model);
    writer.resume(&cells).unwrap();
    assert!((0..2).all(|number| find(&mut reader, &cells, number).unwrap().is_some()));
    let ended = Owned {
        routes: routes(&["usr_1"]),
        revision: Some(2),
        ..Owned::default()
    };
    writer.apply(&cells, &ended.batch()).unwrap();
    assert!(find(&mut reader, &cells, 0).unwrap().is_none());
    assert!(find(&mut reader, &cells, 1).unwrap().is_some());
    assert_eq!(writer.position(), Some((EPOCH, 2)));
}

/// A reader without rules reads the present ones, before or after the head that they belong to.
#[test]
fn new_reader_finds_no_ended_keys() {
    let mut looked = 0;
    for pause in 0..1_000 {
        let cells = MemoryCells::default();
        let mut writer = published(&cells);
        let mut last = Owned {
            routes: routes(&[]),
            revision: Some(3),
            ..Owned::default()
        };
        (0..KEYS)
            .step_by(2)
            .for_each(|number| last.removed.extend_from_slice(&digest(number).0));
        last.removed_policies
            .extend_from_slice(&1_u64.to_le_bytes());
        let look = || {
            let mut reader = Reader::default();
            for number in 0..KEYS {
                let found = find(&mut reader, &cells, number);
                // A half-written page of the rules' record is no reason to admit.
                if number % 2 == 0 {
                    assert!(
                        matches!(found, Ok(None) | Err(Unavailable::Moved)),
                        "{pause}: {number}"
                    );
                } else {
                    assert!(found.unwrap().is_some(), "{pause}: {number}");
                }
            }
        };
        let other = RefCell::new(Some(Box::new(look) as Box<dyn FnOnce()>));
        let preempted = Preempted {
            cells: &cells,
            writes_left: Cell::new(pause),
            other,
        };
        writer.apply(&preempted, &last.batch()).unwrap();
        if preempted.other.take().is_some() {
            break;
        }
        looked += 1;
    }
    assert!((10..1_000).contains(&looked), "{looked}");
}
