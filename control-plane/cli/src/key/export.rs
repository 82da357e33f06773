//! `latchkey key export`: exports all keys, page by page, so that a million keys take as much
//! memory as a thousand.

use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::{self, IsTerminal as _};

use super::columns;
use super::list::KeyFilter;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::list_document::ListDocument;
use crate::pages::Pages;
use crate::progress::{Progress, ShowProgress};
use crate::{Context, csv, output, text};

/// Forms of exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// An object with a list of objects, as in the API
    Json,
    /// One object per line
    Ndjson,
    /// A header line and a line for each key; list entries are separated by semicolons. A cell that
    /// a spreadsheet would run as a formula begins with an apostrophe, which `key import` removes
    Csv,
}

/// Arguments of `key export`.
#[derive(Clone, Args)]
pub struct ExportKeys {
    #[command(flatten)]
    filter: KeyFilter,
    /// Format of the output
    #[arg(long, value_enum, default_value_t = ExportFormat::Json)]
    format: ExportFormat,
    #[command(flatten)]
    progress: ShowProgress,
}

impl ExportKeys {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = self.filter.query().with("include", Some("ip_lists"));
        let mut pages = Pages::new(&context.api, (&["keys"], "keys"), query);
        let mut progress = Progress::new(self.progress, "keys");
        let (mut document, terminal) = (ListDocument::new("keys"), io::stdout().is_terminal());
        if self.format == ExportFormat::Csv {
            output::print(&csv::line(columns::exported()))?;
        }

        while let Some(keys) = pages.next().await? {
            let text = match self.format {
                ExportFormat::Json => document.entries(&keys),
                ExportFormat::Ndjson => {
                    keys.iter().map(|key| text::json_line(key) + "\n").collect()
                }
                ExportFormat::Csv => keys
                    .iter()
                    .map(|key| shown(columns::line(key), terminal))
                    .collect(),
            };
            output::print(&text)?;
            progress.update(pages.seen, pages.total(), pages.total_is_estimate());
        }
        if self.format == ExportFormat::Json {
            output::print(&document.end(&json!({})))?;
        }

        progress.end();
        Ok(Exit::Done)
    }
}

/// Returns the line, with control and invisible characters escaped if it goes to a terminal.
fn shown(line: String, terminal: bool) -> String {
    if terminal {
        text::plain(line.trim_end_matches('\n')) + "\n"
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_control_characters_are_not_exported() {
        let line =
            || columns::line(&json!({"name": "\u{1b}[31mred", "description": "a\nb\u{202e}"}));
        assert!(
            shown(line(), true).contains("\\u{1b}[31mred")
                && shown(line(), true).lines().count() == 1
        );
        assert!(
            shown(line(), false).contains('\u{1b}') && shown(line(), false).lines().count() == 2
        );
    }
}
