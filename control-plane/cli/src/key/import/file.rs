//! A file of keys, read row by row: each row is parsed when it is used, so that a large file takes
//! little more memory than its text.

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_saphyr::Spanned;
use std::ops::Range;
use std::path::Path;

use super::super::columns;
use super::plain::{self, ImportRow};
use crate::error::CommandError;
use crate::{csv, document, text};

/// Forms of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ImportFormat {
    /// A list of objects, as in the API, or an object with such a list in `keys`; also as YAML
    Json,
    /// One object per line
    Ndjson,
    /// A header line and a line for each key; list entries are separated by semicolons. An
    /// apostrophe before a cell that a spreadsheet would run as a formula is removed
    Csv,
}

impl ImportFormat {
    fn from_extension(file: &Path) -> Self {
        let extension = file
            .extension()
            .map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("csv") => Self::Csv,
            Some("ndjson" | "jsonl") => Self::Ndjson,
            _ => Self::Json,
        }
    }
}

/// The rows of a file.
pub(super) struct KeyFile {
    text: String,
    rows: Rows,
}

enum Rows {
    Csv {
        names: Vec<String>,
        records: Vec<csv::Record>,
    },
    /// The line and the byte range of each row in the text. `one_line` is true if some rows share a
    /// line.
    Json {
        rows: Vec<(u64, Range<usize>)>,
        one_line: bool,
    },
    /// The line and the value of each row of a YAML file.
    Values(Vec<(u64, Value)>),
}

/// An object with the rows in `keys`. Its other fields are ignored.
#[derive(Deserialize)]
struct Keys<T> {
    keys: Vec<T>,
}

impl KeyFile {
    /// Reads the file, or stdin for `-`.
    pub(super) fn read(file: &Path, format: Option<ImportFormat>) -> Result<Self, CommandError> {
        let text = document::text(file)?;
        Self::parse(
            text,
            format.unwrap_or_else(|| ImportFormat::from_extension(file)),
        )
        .map_err(|reason| CommandError::file(file, reason))
    }

    fn parse(text: String, format: ImportFormat) -> Result<Self, String> {
        let rows = match format {
            ImportFormat::Csv => from_csv(&text)?,
            ImportFormat::Ndjson => Rows::Json {
                rows: lines(&text),
                one_line: false,
            },
            ImportFormat::Json => from_json(&text).map_or_else(|| from_yaml(&text), Ok)?,
        };
        let file = Self { text, rows };
        if file.len() == 0 {
            Err("has no keys".to_owned())
        } else {
            Ok(file)
        }
    }

    /// Returns the number of rows.
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::Csv { records, .. } => records.len(),
            Rows::Json { rows, .. } => rows.len(),
            Rows::Values(rows) => rows.len(),
        }
    }

    /// Describes a row's position: its line, and its index if rows share lines.
    pub(super) fn place(&self, row: usize) -> String {
        let line = self.line(row);
        match &self.rows {
            Rows::Json { one_line: true, .. } => format!("line {line}, keys[{row}]"),
            _ => format!("line {line}"),
        }
    }

    /// Returns the line on which a row begins, from 1.
    fn line(&self, row: usize) -> u64 {
        let line = match &self.rows {
            Rows::Csv { records, .. } => records.get(row).map(|record| record.line),
            Rows::Json { rows, .. } => rows.get(row).map(|(line, _)| *line),
            Rows::Values(rows) => rows.get(row).map(|(line, _)| *line),
        };
        line.unwrap_or_default()
    }

    /// Returns a row in the API's form, or the reason why it is invalid.
    pub(super) fn row(&self, row: usize) -> Result<ImportRow, String> {
        self.written(row).and_then(plain::hashed)
    }

    /// Returns a row as it is in the file.
    fn written(&self, row: usize) -> Result<Value, String> {
        match &self.rows {
            Rows::Csv { names, records } => {
                let record = records.get(row).ok_or("there is no such row")?;
                columns::row(names.iter().map(String::as_str).zip(record.cells()))
            }
            Rows::Json { rows, .. } => {
                let text = rows
                    .get(row)
                    .and_then(|(_, place)| self.text.get(place.clone()));
                document::value(text.unwrap_or_default()).and_then(columns::settings)
            }
            Rows::Values(rows) => columns::settings(
                rows.get(row)
                    .map(|(_, value)| value.clone())
                    .unwrap_or_default(),
            ),
        }
    }
}

fn from_csv(text: &str) -> Result<Rows, String> {
    let mut records = csv::read(text)?.into_iter();
    let names: Vec<_> = records
        .next()
        .ok_or("must have a header line")?
        .cells()
        .map(str::to_owned)
        .collect();
    columns::ensure_known(names.iter().map(String::as_str))?;

    Ok(Rows::Csv {
        names,
        records: records.collect(),
    })
}

/// Returns the non-blank lines.
fn lines(text: &str) -> Vec<(u64, Range<usize>)> {
    let (mut rows, mut start) = (Vec::new(), 0_usize);
    for (line, number) in text.split('\n').zip(1..) {
        if !line.trim().is_empty() {
            rows.push((number, start..start.saturating_add(line.len())));
        }
        start = start.saturating_add(line.len()).saturating_add(1);
    }
    rows
}

/// Parses JSON with a list of keys. Returns `None` for other texts, which may be YAML.
fn from_json(text: &str) -> Option<Rows> {
    let rows: Vec<&RawValue> = if text.trim_start().starts_with('{') {
        serde_json::from_str::<Keys<&RawValue>>(text).ok()?.keys
    } else {
        serde_json::from_str(text).ok()?
    };
    let (mut line, mut counted) = (1_u64, 0_usize);
    let place = |row: &RawValue| {
        // The rows are slices of the text, in ascending order.
        let start = row
            .get()
            .as_ptr()
            .addr()
            .saturating_sub(text.as_ptr().addr());
        let breaks = text
            .get(counted..start)
            .unwrap_or_default()
            .bytes()
            .filter(|byte| *byte == b'\n')
            .count();
        line = line.saturating_add(u64::try_from(breaks).unwrap_or_default());
        counted = start;
        (line, start..start.saturating_add(row.get().len()))
    };
    let rows: Vec<_> = rows.into_iter().map(place).collect();
    let one_line = rows
        .iter()
        .zip(rows.iter().skip(1))
        .any(|((one, _), (next, _))| one == next);

    Some(Rows::Json { rows, one_line })
}

fn from_yaml(text: &str) -> Result<Rows, String> {
    const FORM: &str = "must be a list of keys, or an object with such a list in `keys`";
    // Parses it first for errors with their places.
    let value: Value = document::parse(text)?;
    let rows = match &value {
        Value::Array(_) => serde_saphyr::from_str::<Vec<Spanned<Value>>>(text),
        Value::Object(fields) if fields.get("keys").is_some_and(Value::is_array) => {
            serde_saphyr::from_str::<Keys<Spanned<Value>>>(text).map(|document| document.keys)
        }
        _ => return Err(FORM.to_owned()),
    };
    let rows = rows.map_err(|error| text::plain(error.to_string().trim_end()))?;

    Ok(Rows::Values(
        rows.into_iter()
            .map(|row| (row.referenced.line(), row.value))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(text: &str, format: ImportFormat) -> Vec<(u64, Value)> {
        let file = KeyFile::parse(text.to_owned(), format).unwrap();
        (0..file.len())
            .map(|row| (file.line(row), file.row(row).unwrap().value))
            .collect()
    }

    #[test]
    fn rows_have_their_line_numbers() {
        let key = |name: &str| json!({"name": name});
        for (text, format, lines) in [
            ("name\nCI\n\n\"a\nb\"\nCD\n", ImportFormat::Csv, [2, 4, 6]),
            (
                "\n{\"name\": \"CI\"}\n\n{\"name\": \"a\\nb\"}\n{\"name\": \"CD\"}",
                ImportFormat::Ndjson,
                [2, 4, 5],
            ),
            (
                "{\"keys\": [{\"name\": \"CI\"},\n {\"name\":\n\"a\\nb\"}, {\"name\": \"CD\"}], \"total\": 3}",
                ImportFormat::Json,
                [1, 2, 3],
            ),
            (
                "[{\"name\": \"CI\"},\n\n{\"name\": \"a\\nb\"},\n{\"name\": \"CD\"}]",
                ImportFormat::Json,
                [1, 3, 4],
            ),
            (
                "keys:\n- name: CI\n- name: \"a\\nb\"\n\n- name: CD\n",
                ImportFormat::Json,
                [2, 3, 5],
            ),
            (
                "- {name: CI}\n- {name: \"a\\nb\"}\n- {name: CD}\n",
                ImportFormat::Json,
                [1, 2, 3],
            ),
        ] {
            let expected: Vec<_> = lines
                .into_iter()
                .zip([key("CI"), key("a\nb"), key("CD")])
                .collect();
            assert_eq!(rows(text, format), expected, "{text}");
        }
    }

    #[test]
    fn files_without_keys_are_refused() {
        for text in ["{}", "[]", "\"CI\"", "null", "keys: CI", ""] {
            assert!(
                KeyFile::parse(text.to_owned(), ImportFormat::Json).is_err(),
                "{text}"
            );
        }

        assert!(KeyFile::parse("name\n".to_owned(), ImportFormat::Csv).is_err());
        assert!(KeyFile::parse("\n".to_owned(), ImportFormat::Ndjson).is_err());
        let twice = KeyFile::parse(
            "[{\"name\": \"a\", \"name\": \"b\"}]".to_owned(),
            ImportFormat::Json,
        )
        .unwrap();
        assert!(
            twice
                .written(0)
                .unwrap_err()
                .contains("duplicate field `name`")
        );
    }
}
