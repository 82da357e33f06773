//! `latchkey key import`: imports keys that were created elsewhere, by their digests. Everything is
//! checked before the first key is imported: first the file without the API, then each batch by a
//! dry run of the API.

mod dry_run;
mod entropy;
mod faults;
mod file;
mod file_check;
mod plain;

use clap::Args;
use serde_json::{Value, json};
use std::path::PathBuf;

use crate::arguments::{Repeat, Wait};
use crate::error::CommandError;
use crate::exit::Exit;
use crate::list_document::ListDocument;
use crate::progress::{Progress, ShowProgress};
use crate::query::Query;
use crate::text::{count, counted, number};
use crate::{CheckImportRow, Context, output, text, timestamp};
use faults::Faults;
use file::{ImportFormat, KeyFile};
use file_check::check_file;

/// The maximum number of rows per call. Each batch is imported as a whole or not at all.
const BATCH: usize = 1_000;

/// The maximum size of the rows of one call, in bytes: the API accepts 8 MiB.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Arguments of `key import`.
#[derive(Clone, Args)]
pub struct ImportKeys {
    /// A JSON, YAML or CSV file, or - for stdin. Each row has `sha256`, or `key` with the key
    /// itself, which is hashed before it is sent, and the key's attributes, such as `name`. An
    /// export with one of these columns added also works
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Format of the file (default: from its name)
    #[arg(long)]
    format: Option<ImportFormat>,
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

/// The results of the batches that are imported so far.
struct Imported {
    keys: u64,
    skipped: u64,
    exit: Exit,
    /// The enforcement progress of the last batch.
    enforcement: Value,
}

impl ImportKeys {
    pub(super) async fn run(
        self,
        context: &Context,
        check_row: CheckImportRow,
    ) -> Result<Exit, CommandError> {
        let file = KeyFile::read(&self.file, self.format)?;
        check_file(&file, timestamp::now(), self.entropy_confirmed, check_row)
            .map_err(|faults| self.refused(&faults, Exit::Usage))?;
        let skipped = self.check_with_api(context, &file).await?;
        if !self.dry_run {
            return self.import(context, &file).await;
        }

        let importable = file.len().saturating_sub(skipped);
        let data = json!({ "dry_run": true, "importable": importable, "skipped": skipped });
        context.output.show(&data, || {
            format!(
                "{} would be imported, {} skipped; nothing was changed\n",
                counted(importable, "key"),
                count(skipped)
            )
        })?;

        Ok(Exit::Done)
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

    /// Sends a batch to the API.
    async fn send(context: &Context, query: &Query, body: &Value) -> Result<Value, CommandError> {
        let path = ["keys", "import"];
        let repeat = Repeat::default();
        context.api.post_once(&path, query, body, &repeat).await
    }

    /// Imports all batches. Continues even if stdout is closed.
    async fn import(&self, context: &Context, file: &KeyFile) -> Result<Exit, CommandError> {
        let mut progress = Progress::new(self.progress, "keys imported");
        let (mut printed, mut document) = (Ok(()), ListDocument::new("keys"));
        let mut imported = Imported::default();
        let mut start = 0;
        while start < file.len() {
            let (body, end) = self.batch(file, start, false)?;
            let mut data = Self::send(context, &self.wait.query(), &body)
                .await
                .map_err(|error| interrupted(&error, imported.keys, start, file.len()))?;
            imported.add(context, &mut data);
            if context.output.is_json() && printed.is_ok() {
                printed = output::print(&document.entries(text::entries(&data, "keys")));
            }
            progress.update(end, u64::try_from(file.len()).ok(), false);
            start = end;
        }

        progress.end();
        printed?;

        if context.output.is_json() {
            output::print(&document.end(&imported.json()))?;
        } else {
            context
                .output
                .changed(&imported.json(), &imported.summary())?;
        }

        Ok(imported.exit)
    }

    fn refused(&self, faults: &Faults, exit: Exit) -> CommandError {
        let reason = format!(
            "nothing was imported, because {} of the file cannot be imported:{}",
            counted(faults.all(), "row"),
            faults.describe(&text::path(&self.file))
        );
        CommandError::Import { exit, reason }
    }
}

impl Default for Imported {
    fn default() -> Self {
        Self {
            keys: 0,
            skipped: 0,
            exit: Exit::Done,
            enforcement: Value::Null,
        }
    }
}

impl Imported {
    /// Adds the response to a batch.
    fn add(&mut self, context: &Context, data: &mut Value) {
        let number = |field: &str| data[field].as_u64().unwrap_or_default();
        self.keys = self.keys.saturating_add(number("imported"));
        self.skipped = self.skipped.saturating_add(number("skipped"));
        self.exit = self.exit.max(context.output.exit(data));
        self.enforcement = data["enforcement"].take();
    }

    fn json(&self) -> Value {
        json!({
            "imported": self.keys,
            "skipped": self.skipped,
            "enforcement": self.enforcement,
        })
    }

    fn summary(&self) -> String {
        let keys = usize::try_from(self.keys).unwrap_or(usize::MAX);
        let skipped = if self.skipped > 0 {
            format!(", {} skipped", number(self.skipped))
        } else {
            String::new()
        };
        format!("{} imported{skipped}", counted(keys, "key"))
    }
}

/// Reports an interrupted import. Keys imported before remain.
fn interrupted(error: &CommandError, imported: u64, done: usize, all: usize) -> CommandError {
    let rest = all.saturating_sub(done);
    CommandError::PartiallyApplied(format!(
        "{error}\n{} keys are imported; {} are not, or their state is unknown. To continue, run \
         the command again with --skip-existing",
        number(imported),
        counted(rest, "row")
    ))
}
