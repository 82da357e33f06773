//! Tables without borders, with a heading for each column or for each line.

use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table as Grid, Width};
use serde_json::Value;

/// The number of blanks between two columns.
const GAP: u16 = 3;

/// A table of rows under headings.
pub(super) struct Table(Grid);

/// The column widths of a table's pages so far; empty before the first page.
#[derive(Debug, Default)]
pub(super) struct Widths(Vec<u16>);

impl Table {
    pub(super) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut grid = grid();
        grid.set_header(headings);
        Self(grid)
    }

    /// Adds a line of one cell per heading.
    pub(super) fn line<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// Formats the table, with a line break at the end.
    pub(super) fn shown(self) -> String {
        shown(self.0)
    }

    /// Formats a page of a table. Its columns are at least as wide as those of the pages before,
    /// and only the first page has headings.
    pub(super) fn shown_after(mut self, widths: &mut Widths) -> String {
        let first = widths.0.is_empty();
        let mut before = std::mem::take(&mut widths.0).into_iter();
        let found = self.0.column_max_content_widths();
        widths.0 = found
            .into_iter()
            .map(|width| width.max(before.next().unwrap_or_default()))
            .collect();

        for (column, width) in self.0.column_iter_mut().zip(&widths.0) {
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                width.saturating_add(GAP),
            )));
        }

        let text = shown(self.0);
        if first {
            text
        } else {
            text.split_once('\n')
                .map_or_else(String::new, |(_, lines)| lines.to_owned())
        }
    }
}

/// Formats a table of all entries, with `line` for the cells of one.
pub(super) fn rows<const N: usize>(
    headings: [&str; N],
    entries: &[Value],
    line: impl Fn(&Value) -> [String; N],
) -> String {
    let mut table = Table::new(headings);
    for entry in entries {
        table.line(line(entry));
    }
    table.shown()
}

/// Formats the attributes of a single resource, one per line.
pub(super) fn details<const N: usize>(lines: [(&str, String); N]) -> String {
    let mut grid = grid();
    for (heading, text) in lines {
        grid.add_row([heading.to_owned(), text]);
    }
    shown(grid)
}

fn grid() -> Grid {
    let mut grid = Grid::new();
    grid.load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    grid
}

fn shown(mut grid: Grid) -> String {
    for column in grid.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let lines: Vec<_> = grid
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_pages_have_aligned_columns() {
        let mut widths = Widths::default();
        let mut page = |names: &[&str]| {
            let mut table = Table::new(["NAME", "TIER"]);
            names
                .iter()
                .for_each(|name| table.line([(*name).to_owned(), "pro".to_owned()]));
            table.shown_after(&mut widths)
        };
        assert_eq!(page(&["wider"]), "NAME    TIER\nwider   pro\n");
        assert_eq!(page(&["a", "b"]), "a       pro\nb       pro\n");
        assert_eq!(page(&["the widest"]), "the widest   pro\n");
        assert_eq!(page(&[]), "");
        assert_eq!(page(&["c"]), "c            pro\n");
    }

    #[test]
    fn columns_are_as_wide_as_needed() {
        let mut table = Table::new(["ID", "NAME"]);
        table.line(["key_1".to_owned(), "CI 例".to_owned()]);
        table.line(["k".to_owned(), "x".repeat(200)]);
        let long = "x".repeat(200);
        assert_eq!(
            table.shown(),
            format!("ID      NAME\nkey_1   CI 例\nk       {long}\n")
        );
        let one = details([("NAME", "CI".to_owned()), ("EXPIRES", "-".to_owned())]);
        assert_eq!(one, "NAME      CI\nEXPIRES   -\n");
    }
}
