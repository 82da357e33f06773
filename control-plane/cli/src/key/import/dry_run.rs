//! Makes the API check each batch by a dry run, before the first key is imported.

use serde_json::Value;

use super::ImportKeys;
use super::faults::Faults;
use super::file::KeyFile;
use crate::Context;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::progress::Progress;
use crate::query::Query;
use crate::text::{self, count};

/// The results of the batches that are checked so far.
struct DryRun {
    faults: Faults,
    exit: Exit,
    skipped: usize,
    /// The number of keys that the account may still have, if it is limited.
    room: Option<u64>,
}

impl ImportKeys {
    /// Makes the API check each batch, and returns how many keys would be skipped.
    pub(super) async fn check_with_api(
        &self,
        context: &Context,
        file: &KeyFile,
    ) -> Result<usize, CommandError> {
        let mut progress = Progress::new(self.progress, "keys checked");
        let mut checked = DryRun {
            faults: Faults::default(),
            exit: Exit::Done,
            skipped: 0,
            room: None,
        };
        let mut start = 0;
        while start < file.len() {
            let (body, end) = self.batch(file, start, true)?;
            let data = Self::send(context, &Query::default(), &body).await?;
            if data["dry_run"] != true {
                let error = "the API has already imported the first keys, because its version \
                does not support checking them first";
                return Err(CommandError::PartiallyApplied(error.to_owned()));
            }
            checked.add(&data, file, start);
            progress.update(end, u64::try_from(file.len()).ok(), false);
            start = end;
        }

        progress.end();

        if !checked.faults.is_empty() {
            return Err(self.refused(&checked.faults, checked.exit));
        }

        checked.ensure_room(file)?;
        Ok(checked.skipped)
    }
}

impl DryRun {
    /// Adds the response to the batch that begins with the row `start`.
    fn add(&mut self, data: &Value, file: &KeyFile, start: usize) {
        let number = |value: &Value| {
            let number = value.as_u64();
            number
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or_default()
        };
        let problems = text::entries(data, "problems");
        for problem in problems {
            let row = number(&problem["row"]);
            self.exit = self.exit.max(exit_of(text::field(problem, "code")));
            // The message names the row's index in the batch, which users do not know.
            let error = text::field(problem, "error").replace(&format!("keys[{row}]."), "");
            self.faults
                .add(file.place(start.saturating_add(row)), text::plain(&error));
        }

        let refused = number(&data["refused"]);
        self.faults.count(refused.saturating_sub(problems.len()));
        self.skipped = self.skipped.saturating_add(number(&data["skipped"]));
        self.room = data["room"].as_u64().or(self.room);
    }

    /// Returns an error if the account may not have all of the file's new keys.
    fn ensure_room(&self, file: &KeyFile) -> Result<(), CommandError> {
        let new = file.len().saturating_sub(self.skipped);
        let room = self.room.and_then(|room| usize::try_from(room).ok());
        match room.filter(|room| *room < new) {
            Some(room) => Err(CommandError::Import {
                exit: Exit::NotAllowed,
                reason: format!(
                    "the account may have {} more keys, but the file has {}",
                    count(room),
                    count(new)
                ),
            }),
            None => Ok(()),
        }
    }
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
