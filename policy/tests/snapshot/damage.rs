//! Invalid data is refused, in batches and in memory.

use crate::model::{EPOCH, Model, Owned, digest, find, load};
use latchkey_policy::identity::render;
use latchkey_policy::snapshot::{ApplyError, Reader};
use latchkey_policy::test_util::MemoryCells;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn a_damaged_batch_changes_nothing() {
    let cells = MemoryCells::default();
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
    model.keys.insert(1, (1, "name".into()));
    let mut writer = load(&cells, 1, &model);
    let mut good = Owned {
        revision: Some(2),
        ..Owned::default()
    };
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
        assert_eq!(
            writer.apply(&cells, &batch.batch()),
            Err(ApplyError::Invalid)
        );
        model.assert_is_what_readers_see(&cells, &mut Reader::default());
        assert_eq!(writer.position(), Some((EPOCH, 1)));
    }
}

/// One flipped bit in memory never turns an unknown key into a known one, nor one key into another.
#[test]
fn damaged_memory_refuses() {
    let mut model = Model {
        revision: 1,
        ..Model::default()
    };
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
                let found = find(&mut reader, &cells, number);
                match found {
                    Ok(Some(entry)) => {
                        let key = entry.key();
                        assert_eq!(key.name, format!("key {number}"));
                        assert_eq!(key.digest, digest(number));
                        assert!(
                            render(&key, &entry.policy.identity, None).contains("user=\"usr_1\"")
                        );
                    }
                    Ok(None) | Err(_) => refused += 1,
                }
            }
            flip(&cell, bit);
        }
    }
    assert!(refused > 1000);
    model.assert_is_what_readers_see(&cells, &mut Reader::default());
}
