//! Tables without borders: a heading for each column, or a heading for each line.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table as Grid};

/// Lines of cells under headings.
pub(super) struct Table(Grid);

impl Table {
    pub(super) fn new<const N: usize>(headings: [&str; N]) -> Self {
        let mut grid = grid();
        grid.set_header(headings);
        Self(grid)
    }

    /// As many cells as there are headings.
    pub(super) fn line<const N: usize>(&mut self, cells: [String; N]) {
        self.0.add_row(cells);
    }

    /// With a line break at the end.
    pub(super) fn shown(self) -> String {
        shown(self.0)
    }
}

/// One thing: what is said of it, under each other.
pub(super) fn details<const N: usize>(lines: [(&str, String); N]) -> String {
    let mut grid = grid();
    for (heading, text) in lines {
        grid.add_row([heading.to_owned(), text]);
    }
    shown(grid)
}

fn grid() -> Grid {
    let mut grid = Grid::new();
    grid.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    grid
}

fn shown(mut grid: Grid) -> String {
    for column in grid.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let lines: Vec<_> = grid.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_have_to_be() {
        let mut table = Table::new(["ID", "NAME"]);
        table.line(["key_1".to_owned(), "CI 例".to_owned()]);
        table.line(["k".to_owned(), "x".repeat(200)]);
        let long = "x".repeat(200);
        assert_eq!(table.shown(), format!("ID      NAME\nkey_1   CI 例\nk       {long}\n"));
        let one = details([("NAME", "CI".to_owned()), ("EXPIRES", "-".to_owned())]);
        assert_eq!(one, "NAME      CI\nEXPIRES   -\n");
    }
}
