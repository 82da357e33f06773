//! Keys derived from their number: the same in every run, so that a database with them can be used
//! again.

use std::time::Instant;

use anyhow::Result;
use latchkey_policy::key::{Environment, KeyFormat, PlainKey};
use latchkey_tests::{ControlPlane, SeededRng};
use serde_json::{Value, json};

/// The maximum number of keys that one call imports.
const BATCH: usize = 1_000;

/// Returns the key with this number, in Latchkey's own format.
pub(crate) fn key(number: usize) -> PlainKey {
    let mut rng = SeededRng(number as u64);
    let fill = |bytes: &mut [u8]| {
        for byte in bytes {
            *byte = rng.number().to_le_bytes()[0];
        }
        Ok::<_, std::convert::Infallible>(())
    };
    let Ok(key) = KeyFormat::default().generate(Environment::Live, fill);
    key
}

/// Imports the keys with these numbers by their digests, each with a name and the attributes that
/// `settings` returns for its number. Returns their ids.
pub(crate) async fn import(
    control_plane: &ControlPlane,
    numbers: std::ops::Range<usize>,
    settings: impl Fn(usize) -> Value,
) -> Result<Vec<String>> {
    let (mut ids, mut reported, all) = (Vec::new(), Instant::now(), numbers.len());
    let numbers: Vec<usize> = numbers.collect();
    for batch in numbers.chunks(BATCH) {
        let row = |&number: &usize| {
            let mut row = settings(number);
            row["name"] = json!(format!("key {number}"));
            row["sha256"] = json!(format!("{:?}", key(number).digest()));
            row
        };
        ids.extend(
            control_plane
                .import(batch.iter().map(row).collect())
                .await?,
        );
        if reported.elapsed().as_secs() >= 10 {
            reported = Instant::now();
            eprintln!("  {} of {all} keys imported", ids.len());
        }
    }
    Ok(ids)
}
