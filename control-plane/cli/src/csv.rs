//! Reads and writes CSV as in RFC 4180, without cells that a spreadsheet would run as formulas.
//!
//! A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@`, also after blanks, quotation
//! marks or an apostrophe. Such a cell is written with an additional apostrophe before it, which
//! makes it a text in a spreadsheet. Reading removes exactly that apostrophe. Apostrophes at the
//! beginning do not matter for whether a cell would run. So each cell is read exactly as it was
//! before it was written.

use ::csv::{Position, ReaderBuilder, StringRecord, WriterBuilder};
use latchkey_model::text;
use std::borrow::Cow;

/// The mark before a cell that a spreadsheet would run.
const MARK: char = '\'';

/// A record of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The number of its first line, from 1.
    pub(super) line: u64,
    cells: StringRecord,
}

impl Record {
    /// Returns the cells without the marks that were added when they were written.
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        self.cells.iter().map(unmarked)
    }
}

/// Returns a record for each line that is not blank. Each record must have as many fields as the
/// first.
pub(super) fn read(text: &str) -> Result<Vec<Record>, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let record = |cells: StringRecord| Record {
        line: cells.position().map_or(0, |place| line_of(text, place)),
        cells,
    };

    reader
        .records()
        .map(|cells| cells.map(record).map_err(|error| error.to_string()))
        .collect()
}

/// Returns the line of a record. The reader counts it before the blank lines above it.
fn line_of(text: &str, place: &Position) -> u64 {
    let start = usize::try_from(place.byte()).unwrap_or(usize::MAX);
    let above = text
        .get(start..)
        .unwrap_or_default()
        .bytes()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let blank = above.filter(|byte| *byte == b'\n').count();
    place
        .line()
        .saturating_add(u64::try_from(blank).unwrap_or_default())
}

/// Formats a record, with its line break.
pub(super) fn line<'a>(fields: impl IntoIterator<Item = &'a str>) -> String {
    let mut writer = WriterBuilder::new().from_writer(Vec::new());
    let cells: Vec<_> = fields.into_iter().map(marked).collect();
    // Writing into memory cannot fail, and the output of text is valid UTF-8.
    let _ = writer.write_record(cells.iter().map(AsRef::<str>::as_ref));
    writer
        .into_inner()
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default()
}

fn marked(cell: &str) -> Cow<'_, str> {
    if runs(cell) {
        Cow::Owned(format!("{MARK}{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

fn unmarked(cell: &str) -> &str {
    match cell.strip_prefix(MARK) {
        Some(text) if runs(cell) => text,
        _ => cell,
    }
}

/// Returns whether some spreadsheet would run the cell, also after removing skipped characters from
/// its beginning.
fn runs(cell: &str) -> bool {
    for c in cell.chars() {
        match c {
            '\t' | '\r' | '\n' => return true,
            '=' | '+' | '-' | '@' => return true,
            // The same characters in full-width and small forms, and the mathematical minus.
            '＝' | '＋' | '－' | '＠' | '﹦' | '﹢' | '﹣' | '﹫' | '−' => return true,
            _ if is_skipped(c) => {}
            _ => return false,
        }
    }

    false
}

/// Returns whether a spreadsheet, or somebody who copies from one, may remove the character.
fn is_skipped(c: char) -> bool {
    matches!(c, MARK | '"' | '’' | '＇' | '＂')
        || c.is_whitespace()
        || !text::is_plain(c.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use latchkey_model::random;

    fn cells(text: &str) -> Vec<Vec<String>> {
        let records = read(text).unwrap();
        records
            .iter()
            .map(|record| record.cells().map(str::to_owned).collect())
            .collect()
    }

    #[test]
    fn csv_records_survive_the_round_trip() {
        let records = [
            ["name", "description"],
            ["CI", "a \"b\", c\nd"],
            ["", "é;"],
            ["x", ""],
        ];
        let text: String = records
            .iter()
            .map(|record| line(record.iter().copied()))
            .collect();
        assert_eq!(
            text,
            "name,description\nCI,\"a \"\"b\"\", c\nd\"\n,é;\nx,\n"
        );
        assert_eq!(cells(&text), records);
        assert_eq!(cells(text.trim_end()), records);
        assert_eq!(cells("\u{feff}a,b\r\n\r\n1,2"), [["a", "b"], ["1", "2"]]);
        assert!(read("").unwrap().is_empty());
        let lines: Vec<_> = read(&text)
            .unwrap()
            .iter()
            .map(|record| record.line)
            .collect();
        assert_eq!(lines, [1, 2, 4, 5], "a cell with a line break takes two");
    }

    #[test]
    fn records_of_another_length_are_refused() {
        let error = read("a,b\n1\n").unwrap_err();
        assert!(
            error.contains("1 fields") && error.contains("2 fields"),
            "{error}"
        );
    }

    #[test]
    fn spreadsheet_formulas_are_marked() {
        for cell in [
            "=cmd|' /C calc'!A0",
            "+1+1",
            "-2+3",
            "@SUM(1)",
            "\tx",
            "\rx",
            " =1",
            "\u{a0}=1",
            "\"=1",
            "'=1",
            "''=1",
            "' \"=1",
            "＝1",
            "＋1",
            "－1",
            "＠a",
            "\u{feff}=1",
            "\u{0}=1",
            "\n=1",
        ] {
            let text = line([cell, "x"]);
            let raw = ReaderBuilder::new()
                .has_headers(false)
                .from_reader(text.as_bytes())
                .records()
                .next();
            assert_eq!(
                raw.unwrap().unwrap().get(0).unwrap(),
                format!("'{cell}"),
                "{}",
                text::escaped(cell)
            );
            assert_eq!(cells(&text), [[cell, "x"]]);
        }

        for cell in [
            "", "CI", "a=b", "'quoted'", "key_1", "1-2", " x", "\"=\"\"x",
        ] {
            let marked = line([cell]).starts_with(['\'', '"']) && runs(cell);
            assert!(!marked || cell.starts_with('"'), "{cell}");
            assert_eq!(cells(&line([cell, "x"])), [[cell, "x"]]);
        }
    }

    #[test]
    fn random_csv_cells_survive_the_round_trip() {
        const PIECES: [&str; 20] = [
            "'", "'", "''", "=", "+", "-", "@", "\t", "\r", "\n", " ", "\"", ",", "a", "＝",
            "\u{200b}", "\u{a0}", ";", "’", "é",
        ];
        let mut random = [0; 8];
        for _ in 0..20_000 {
            random::fill(&mut random).unwrap();
            let len = usize::from(random[0] % 8);
            let cell: String = random[1..]
                .iter()
                .take(len)
                .map(|byte| PIECES[usize::from(*byte) % PIECES.len()])
                .collect();
            // The reader skips a record of one empty cell as a blank line.
            assert_eq!(
                cells(&line([cell.as_str(), "x"])),
                [[cell.as_str(), "x"]],
                "{}",
                text::escaped(&cell)
            );
        }
    }
}
