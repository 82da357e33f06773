//! Reads lists page by page. At most one page is held in memory, except where a command needs the
//! whole list.

use clap::Args;
use serde_json::Value;

use super::Context;
use super::client::Api;
use super::error::CommandError;
use super::exit::Exit;
use super::list_document::ListDocument;
use super::output::{self, note};
use super::progress::{Progress, ShowProgress};
use super::query::Query;
use super::table::{Table, Widths};

/// The maximum number of entries per page of the API.
const PAGE: usize = 1_000;

/// The requested part of a list.
#[derive(Debug, Clone, Args)]
pub(super) struct Extent {
    /// Maximum number of entries
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = at_least_one)]
    limit: usize,
    /// Show all entries
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    progress: ShowProgress,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be a whole number from 1".to_owned())
}

impl Extent {
    /// Prints the list at `path`, page by page. The entries in the responses' field `list` become
    /// rows of a table with `headings`, formatted by `line`, or entries of one JSON document.
    pub(super) async fn show<const N: usize>(
        &self,
        context: &Context,
        (path, list): (&[&str], &'static str),
        query: Query,
        headings: [&'static str; N],
        line: impl Fn(&Value) -> [String; N],
    ) -> Result<Exit, CommandError> {
        let mut pages = Pages::new(&context.api, (path, list), query);
        pages.wanted = (!self.all).then_some(self.limit);
        let mut progress = Progress::new(self.progress, list);
        let mut document = ListDocument::new(list);
        let mut widths = Widths::default();
        while let Some(entries) = pages.next().await? {
            if context.output.is_json() {
                output::print(&document.entries(&entries))?;
            } else {
                let mut table = Table::new(headings);
                entries.iter().for_each(|entry| table.line(line(entry)));
                output::print(&table.shown_after(&mut widths))?;
            }
            progress.update(pages.seen, pages.total(), pages.total_is_estimate());
        }
        if context.output.is_json() {
            output::print(&document.end(&pages.rest))?;
        }

        progress.end();
        if pages.cursor.is_some() {
            // The audit reports no total.
            let more = if pages.total_is_estimate() { "+" } else { "" };
            let of_total = pages
                .total()
                .map_or_else(String::new, |total| format!(" of {total}{more}"));
            note(&format!(
                "latchkey: {}{of_total} are shown; --all shows all",
                pages.seen
            ));
        }

        Ok(Exit::Done)
    }
}

/// A list that is read page by page.
pub(super) struct Pages<'a> {
    api: &'a Api,
    path: Vec<&'a str>,
    list: &'static str,
    query: Query,
    /// The maximum number of entries to read.
    wanted: Option<usize>,
    /// The cursor of the next page.
    cursor: Option<String>,
    /// The number of entries read so far.
    pub(super) seen: usize,
    ended: bool,
    /// The last response without its entries.
    rest: Value,
}

impl<'a> Pages<'a> {
    pub(super) fn new(
        api: &'a Api,
        (path, list): (&[&'a str], &'static str),
        query: Query,
    ) -> Self {
        let rest = Value::Null;
        Self {
            api,
            path: path.to_vec(),
            list,
            query,
            wanted: None,
            cursor: None,
            seen: 0,
            ended: false,
            rest,
        }
    }

    /// Returns the entries of the next page, or `None` at the end. At least one page is returned,
    /// even if it is empty.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Value>>, CommandError> {
        if self.ended {
            return Ok(None);
        }

        let more = self
            .wanted
            .map_or(PAGE, |wanted| wanted.saturating_sub(self.seen).min(PAGE));
        let query = self
            .query
            .clone()
            .with("limit", Some(more))
            .with("cursor", self.cursor.as_ref());
        let mut data = self.api.get(&self.path, &query).await?;
        let Value::Array(found) = data[self.list].take() else {
            return Err(CommandError::refused(
                200,
                &format!("the answer has no list `{}`", self.list),
            ));
        };
        self.seen = self.seen.saturating_add(found.len());
        self.cursor = data["next_cursor"].as_str().map(str::to_owned);
        // A page may be empty although others follow.
        self.ended = self.cursor.is_none() || self.wanted.is_some_and(|wanted| self.seen >= wanted);
        self.rest = data;

        Ok(Some(found))
    }

    /// Returns the length of the whole list, if the API reports it.
    pub(super) fn total(&self) -> Option<u64> {
        self.rest["total"].as_u64()
    }

    /// Returns whether the list may have more entries than `total`.
    pub(super) fn total_is_estimate(&self) -> bool {
        self.rest["total_is_estimate"] == true
    }
}

/// Reads all entries of the list at `path`.
pub(super) async fn all(
    api: &Api,
    path: &[&str],
    list: &'static str,
    query: Query,
) -> Result<Vec<Value>, CommandError> {
    let (mut pages, mut entries) = (Pages::new(api, (path, list), query), Vec::new());
    while let Some(page) = pages.next().await? {
        entries.extend(page);
    }
    Ok(entries)
}
