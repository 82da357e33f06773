//! `latchkey key import`: imports keys that were created elsewhere, by their digests. Everything is
//! checked before the first key is imported: first the file without the API, then each batch by a
//! dry run of the API.

mod entropy;
mod file;
mod plain;

use clap::Args;
use latchkey_policy::key::KeyDigest;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;

use crate::arguments::{Repeat, Wait};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::list_document::ListDocument;
use crate::progress::{Progress, ShowProgress};
use crate::query::Query;
use crate::text::number;
use crate::{CheckImportRow, Context, moment, output, text};
use file::{Format, KeyFile};
use plain::Strength;

/// The maximum number of rows per call. Each batch is imported as a whole or not at all.
const BATCH: usize = 1_000;

/// The maximum size of the rows of one call, in bytes: the API accepts 8 MiB.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The maximum number of faulty rows that are reported.
const TOLD: usize = 20;

/// The maximum number of places reported for one fault.
const PLACES: usize = 10;

/// The fault of keys that can be guessed.
const WEAK: &str = "Field `key` can be guessed: judging by its length, characters and \
repetitions, it has fewer than 80 random bits. Anyone with a copy of the snapshot can find the \
key by trying. Give its users a Latchkey key instead.";

/// The fault of digests whose keys are not confirmed to be hard to guess.
const UNKNOWN: &str = "Field `sha256` does not show how hard the key is to guess, and anyone with \
a copy of the snapshot can find a weak key. Give the keys themselves in `key`, where they are \
checked and not sent, or confirm with --entropy-confirmed that each key has at least 80 random \
bits.";

/// Arguments of `key import`.
#[derive(Clone, Args)]
pub struct Import {
    /// A JSON, YAML or CSV file, or - for stdin. Each row has `sha256`, or `key` with the key
    /// itself, which is hashed before it is sent, and the key's attributes, such as `name`. An
    /// export with one of these columns added also works
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Format of the file (default: from its name)
    #[arg(long)]
    format: Option<Format>,
    /// Check everything and report what would be done, without changing anything
    #[arg(long)]
    dry_run: bool,
    /// Skip keys that the account has already, by their `sha256`, so that an interrupted import can
    /// be run again
    #[arg(long)]
    skip_existing: bool,
    /// Import keys again that were imported at most 7 days ago and revoked before any request was
    /// admitted with them
    #[arg(long)]
    reimport_unused: bool,
    /// Confirm that keys given only by `sha256` have at least 80 random bits each and cannot be
    /// guessed
    #[arg(long)]
    entropy_confirmed: bool,
    #[command(flatten)]
    progress: ShowProgress,
    #[command(flatten)]
    wait: Wait,
}

impl Import {
    pub(super) async fn run(
        self,
        context: &Context,
        check_row: CheckImportRow,
    ) -> Result<Exit, CommandError> {
        let file = KeyFile::read(&self.file, self.format)?;
        check_file(&file, moment::now(), self.entropy_confirmed, check_row)
            .map_err(|faults| self.refused(&faults, Exit::Usage))?;
        let skipped = self.check_with_api(context, &file).await?;
        if self.dry_run {
            let importable = file.len().saturating_sub(skipped);
            let data = json!({ "dry_run": true, "importable": importable, "skipped": skipped });
            let what = format!(
                "{} would be imported, {} skipped",
                keys(importable),
                count(skipped)
            );
            context
                .output
                .show(&data, || format!("{what}; nothing was changed\n"))?;
            return Ok(Exit::Done);
        }
        self.import(context, &file).await
    }

    /// Returns the body of a call with as many rows from `start` on as one call takes, and the
    /// index of the next row.
    fn batch(
        &self,
        file: &KeyFile,
        start: usize,
        dry_run: bool,
    ) -> Result<(Value, usize), CommandError> {
        let (mut keys, mut bytes, mut end) = (Vec::new(), 0_usize, start);
        while end < file.len() && keys.len() < BATCH {
            let row = file
                .row(end)
                .map_err(|reason| CommandError::file(&self.file, reason))?
                .value;
            bytes = bytes.saturating_add(row.to_string().len());
            if bytes > BATCH_BYTES && !keys.is_empty() {
                break;
            }
            keys.push(row);
            end = end.saturating_add(1);
        }
        let mut body = json!({ "keys": keys });
        let options = [
            ("dry_run", dry_run),
            ("skip_existing", self.skip_existing),
            ("reimport_unused", self.reimport_unused),
        ];
        for (option, _) in options.into_iter().filter(|(_, is_set)| *is_set) {
            body[option] = json!(true);
        }
        Ok((body, end))
    }

    /// Makes the API check each batch, and returns how many keys would be skipped.
    async fn check_with_api(
        &self,
        context: &Context,
        file: &KeyFile,
    ) -> Result<usize, CommandError> {
        let mut progress = Progress::new(self.progress, "keys checked");
        let (mut faults, mut exit, mut skipped, mut room) =
            (Faults::default(), Exit::Done, 0_usize, None);
        let mut start = 0;
        while start < file.len() {
            let (body, end) = self.batch(file, start, true)?;
            let data = context
                .api
                .post_once(
                    &["keys", "import"],
                    &Query::default(),
                    &body,
                    &Repeat::default(),
                )
                .await?;
            if data["dry_run"] != true {
                let error = "the API has already imported the first keys, because its version \
                does not support checking them first";
                return Err(CommandError::Halfway(error.to_owned()));
            }
            for problem in text::entries(&data, "problems") {
                let row = problem["row"]
                    .as_u64()
                    .and_then(|row| usize::try_from(row).ok())
                    .unwrap_or_default();
                exit = exit.max(exit_of(text::field(problem, "code")));
                // The message names the row's index in the batch, which users do not know.
                let error = text::field(problem, "error").replace(&format!("keys[{row}]."), "");
                faults.add(file.place(start.saturating_add(row)), text::plain(&error));
            }
            let found = |name: &str| {
                data[name]
                    .as_u64()
                    .and_then(|count| usize::try_from(count).ok())
                    .unwrap_or_default()
            };
            faults.count(found("refused").saturating_sub(text::entries(&data, "problems").len()));
            skipped = skipped.saturating_add(found("skipped"));
            room = data["room"].as_u64().or(room);
            progress.update(end, u64::try_from(file.len()).ok(), false);
            start = end;
        }
        progress.end();
        if !faults.is_empty() {
            return Err(self.refused(&faults, exit));
        }
        let new = file.len().saturating_sub(skipped);
        match room
            .and_then(|room| usize::try_from(room).ok())
            .filter(|room| *room < new)
        {
            Some(room) => Err(CommandError::Import {
                exit: Exit::NotAllowed,
                reason: format!(
                    "the account may have {} more keys, but the file has {}",
                    count(room),
                    count(new)
                ),
            }),
            None => Ok(skipped),
        }
    }

    async fn import(&self, context: &Context, file: &KeyFile) -> Result<Exit, CommandError> {
        let mut progress = Progress::new(self.progress, "keys imported");
        let (mut printed, mut document) = (Ok(()), ListDocument::new("keys"));
        let (mut imported, mut skipped, mut exit, mut last) =
            (0_u64, 0_u64, Exit::Done, Value::Null);
        let mut start = 0;
        while start < file.len() {
            let (body, end) = self.batch(file, start, false)?;
            let data = context
                .api
                .post_once(
                    &["keys", "import"],
                    &self.wait.query(),
                    &body,
                    &Repeat::default(),
                )
                .await;
            let mut data = data.map_err(|error| broken_off(&error, imported, start, file.len()))?;
            exit = exit.max(context.output.exit(&data));
            imported = imported.saturating_add(data["imported"].as_u64().unwrap_or_default());
            skipped = skipped.saturating_add(data["skipped"].as_u64().unwrap_or_default());
            if context.output.is_json() && printed.is_ok() {
                // The import continues even if stdout is closed.
                printed = output::print(&document.entries(text::entries(&data, "keys")));
            }
            last = data["enforcement"].take();
            progress.update(end, u64::try_from(file.len()).ok(), false);
            start = end;
        }
        progress.end();
        printed?;
        let total = json!({ "imported": imported, "skipped": skipped, "enforcement": last });
        if context.output.is_json() {
            output::print(&document.end(&total))?;
            return Ok(exit);
        }
        let what = format!(
            "{} imported",
            keys(usize::try_from(imported).unwrap_or(usize::MAX))
        );
        let skipped = if skipped > 0 {
            format!(", {} skipped", number(skipped))
        } else {
            String::new()
        };
        context
            .output
            .changed(&total, &format!("{what}{skipped}"))?;
        Ok(exit)
    }

    fn refused(&self, faults: &Faults, exit: Exit) -> CommandError {
        let file = text::path(&self.file);
        let told = faults
            .groups
            .iter()
            .chain(&faults.told)
            .map(|(place, reason)| format!("\n  {file}, {place}: {reason}"))
            .collect::<String>();
        let more = faults
            .all
            .saturating_sub(faults.in_groups)
            .saturating_sub(faults.told.len());
        let more = if more > 0 {
            format!("\n  and {} more", count(more))
        } else {
            String::new()
        };
        let reason = format!(
            "nothing was imported, because {} of the file cannot be imported:{told}{more}",
            rows(faults.all)
        );
        CommandError::Import { exit, reason }
    }
}

/// The faults of rows, with their places.
#[derive(Debug, Default, PartialEq)]
struct Faults {
    /// The places and reasons of the first faults.
    told: Vec<(String, String)>,
    /// The faults that many rows share, each reported once.
    groups: Vec<(String, String)>,
    in_groups: usize,
    all: usize,
}

impl Faults {
    fn add(&mut self, place: String, reason: String) {
        self.all = self.all.saturating_add(1);
        if self.told.len() < TOLD {
            self.told.push((place, reason));
        }
    }

    /// Adds a fault that these rows share, which is reported once.
    fn group(&mut self, file: &KeyFile, rows: &[usize], reason: &str) {
        let places: Vec<_> = rows
            .iter()
            .take(PLACES)
            .map(|row| file.place(*row))
            .collect();
        if places.is_empty() {
            return;
        }
        let more = rows.len().saturating_sub(places.len());
        let more = if more > 0 {
            format!(" and {} more", count(more))
        } else {
            String::new()
        };
        self.groups
            .push((format!("{}{more}", places.join(", ")), reason.to_owned()));
        self.all = self.all.saturating_add(rows.len());
        self.in_groups = self.in_groups.saturating_add(rows.len());
    }

    /// Counts faults that are not reported.
    fn count(&mut self, more: usize) {
        self.all = self.all.saturating_add(more);
    }

    fn is_empty(&self) -> bool {
        self.all == 0
    }
}

/// Checks the file without the API.
fn check_file(
    file: &KeyFile,
    now: i64,
    entropy_confirmed: bool,
    check_row: CheckImportRow,
) -> Result<(), Faults> {
    let (mut faults, mut weak, mut unknown) = (Faults::default(), Vec::new(), Vec::new());
    let (mut digests, mut names) = (
        HashMap::<KeyDigest, usize>::new(),
        HashMap::<String, usize>::new(),
    );
    for row in 0..file.len() {
        let place = file.place(row);
        let checked = file.row(row).and_then(|import_row| {
            let checked = check_row(import_row.value.to_string().as_bytes(), now)?;
            match import_row.strength() {
                Strength::Weak => weak.push(row),
                Strength::Unknown if !entropy_confirmed => unknown.push(row),
                Strength::Unknown | Strength::Enough => {}
            }
            Ok(checked)
        });
        match checked {
            Err(reason) => faults.add(place, text::plain(&reason)),
            Ok((digest, name)) => {
                if let Some(first) = first(&mut digests, digest, row) {
                    faults.add(
                        place,
                        format!("Field `sha256` is the same as in {}.", file.place(first)),
                    );
                } else if let Some(first) = first(&mut names, name, row) {
                    faults.add(
                        place,
                        format!("Field `name` is the same as in {}.", file.place(first)),
                    );
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
fn first<K: Eq + Hash>(seen: &mut HashMap<K, usize>, key: K, row: usize) -> Option<usize> {
    let first = *seen.entry(key).or_insert(row);
    (first != row).then_some(first)
}

/// Returns the exit code that the import itself would have.
fn exit_of(code: &str) -> Exit {
    match code {
        "name_taken" | "key_taken" => Exit::Conflict,
        "missing_permission" | "subaccount_denied" | "key_limit" | "tier_exceeded" => {
            Exit::NotAllowed
        }
        _ => Exit::Usage,
    }
}

/// Reports an interrupted import. Keys imported before remain.
fn broken_off(error: &CommandError, imported: u64, done: usize, all: usize) -> CommandError {
    let rest = all.saturating_sub(done);
    CommandError::Halfway(format!(
        "{error}\n{} keys are imported; {} are not, or their state is unknown. To continue, run \
         the command again with --skip-existing",
        number(imported),
        rows(rest)
    ))
}

fn count(count: usize) -> String {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

fn keys(number: usize) -> String {
    format!(
        "{} {}",
        count(number),
        if number == 1 { "key" } else { "keys" }
    )
}

fn rows(number: usize) -> String {
    format!(
        "{} {}",
        count(number),
        if number == 1 { "row" } else { "rows" }
    )
}
