//! Checks a file of keys without the API.

use latchkey_policy::key::KeyDigest;
use std::collections::HashMap;
use std::hash::Hash;

use super::faults::Faults;
use super::file::KeyFile;
use super::plain::Strength;
use crate::{CheckImportRow, text};

/// The fault of keys that can be guessed.
const WEAK: &str = "Field `key` can be guessed: judging by its length, characters and \
repetitions, it has fewer than 80 random bits. Anyone with a copy of the snapshot can find the \
key by trying. Give its users a Latchkey key instead.";

/// The fault of digests whose keys are not confirmed to be hard to guess.
const UNKNOWN: &str = "Field `sha256` does not show how hard the key is to guess, and anyone with \
a copy of the snapshot can find a weak key. Give the keys themselves in `key`, where they are \
checked and not sent, or confirm with --entropy-confirmed that each key has at least 80 random \
bits.";

/// Checks each row, and that no two rows have the same key or name.
pub(super) fn check_file(
    file: &KeyFile,
    now: i64,
    entropy_confirmed: bool,
    check_row: CheckImportRow,
) -> Result<(), Faults> {
    let (mut faults, mut weak, mut unknown) = (Faults::default(), Vec::new(), Vec::new());
    let mut digests = HashMap::<KeyDigest, usize>::new();
    let mut names = HashMap::<String, usize>::new();
    for row in 0..file.len() {
        let checked = file.row(row).and_then(|import_row| {
            let checked = check_row(import_row.value.to_string().as_bytes(), now)?;
            match import_row.strength() {
                Strength::Weak => weak.push(row),
                Strength::Unknown if !entropy_confirmed => unknown.push(row),
                Strength::Unknown | Strength::Enough => {}
            }
            Ok(checked)
        });
        let mut add = |reason: String| faults.add(file.place(row), reason);
        match checked {
            Err(reason) => add(text::plain(&reason)),
            Ok((digest, name)) => {
                if let Some(first) = earlier(&mut digests, digest, row) {
                    let place = file.place(first);
                    add(format!("Field `sha256` is the same as in {place}."));
                } else if let Some(first) = earlier(&mut names, name, row) {
                    let place = file.place(first);
                    add(format!("Field `name` is the same as in {place}."));
                }
            }
        }
    }

    for (rows, reason) in [(weak, WEAK), (unknown, UNKNOWN)] {
        faults.group(file, &rows, reason);
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// Returns an earlier row with the same key, if there is one.
fn earlier<K: Eq + Hash>(seen: &mut HashMap<K, usize>, key: K, row: usize) -> Option<usize> {
    let first = *seen.entry(key).or_insert(row);
    (first != row).then_some(first)
}
