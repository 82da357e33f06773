//! Lists page by page. A page begins behind a [`Position`], a row's place in the order, and not
//! behind a number of rows: whatever comes or goes meanwhile, nothing is listed twice or left out,
//! and the last page costs what the first does.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite};

use super::reading::ListReads;
use super::{StoreError, from_json};

/// Totals are exact up to this number.
pub(crate) const TOTAL_LIMIT: u32 = 10_000;

/// Stands before what a pattern would take for more than itself.
const ESCAPE: char = '\\';

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct PageQuery {
    /// Rows at most.
    pub limit: u32,
    /// Where it begins, if not with the first.
    pub after: Option<Position>,
    /// What they have to have somewhere in what is searched, in upper or lower case.
    pub search: Option<String>,
}

/// A row's place: its value of what the list is ordered by, and its number, which tells it from
/// others of that value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position(Value, i64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(i64),
    Text(String),
}

impl Position {
    /// The place of the row `seq` whose value is the number `value`.
    pub fn new(value: i64, seq: i64) -> Self {
        Self(Value::Number(value), seq)
    }

    /// The row's value, if it is a number, and its number.
    pub fn numbers(&self) -> Option<(i64, i64)> {
        match self.0 {
            Value::Number(value) => Some((value, self.1)),
            Value::Text(_) => None,
        }
    }

    /// Whether the row's value is this number.
    pub(super) fn has_number(&self, number: i64) -> bool {
        self.0 == Value::Number(number)
    }

    /// The row's number.
    pub(super) fn number(&self) -> i64 {
        self.1
    }

    pub(super) fn push_value(&self, query: &mut QueryBuilder<Sqlite>) {
        self.0.push(query);
    }
}

impl Value {
    fn push(&self, query: &mut QueryBuilder<Sqlite>) {
        match self {
            Self::Number(value) => query.push_bind(*value),
            Self::Text(value) => query.push_bind(value.clone()),
        };
    }
}

/// A page, and what there is beyond it.
#[derive(Debug)]
pub struct Paged<T> {
    /// In order.
    pub rows: Vec<T>,
    /// Of all pages together.
    pub total: Total,
    /// Where the next one begins; none after the last.
    pub next: Option<Position>,
}

/// The numbers of a page's rows with their places, and where the next page begins.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Vec<(i64, Position)>,
    pub(super) next: Option<Position>,
}

impl Found {
    /// A page of the first `limit` of these rows; if there are more of them, there is another page.
    pub(super) fn full(mut rows: Vec<(i64, Position)>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|(_, position)| position.clone());
        Self { rows, next }
    }

    /// The rows' numbers.
    pub(super) fn seqs(&self) -> Vec<i64> {
        self.rows.iter().map(|(seq, _)| *seq).collect()
    }
}

/// How many rows a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The number, or if it is an estimate, one that the list has at least.
    pub count: u64,
    /// Whether the number is an estimate.
    pub is_estimate: bool,
}

impl Total {
    /// A number that was counted, up to one more than [`TOTAL_LIMIT`]; `all`: no rows were left to
    /// count.
    pub(super) fn counted(count: u64, all: bool) -> Self {
        let is_estimate = count > TOTAL_LIMIT.into() || !all;
        Self {
            count: count.min(TOTAL_LIMIT.into()),
            is_estimate,
        }
    }

    /// The same of a list that has at least `count` rows.
    pub(super) fn at_least(self, count: u64) -> Self {
        Self {
            count: self.count.max(count),
            ..self
        }
    }
}

impl<T> Paged<T> {
    /// The same page of something else.
    pub fn try_map<U, E>(self, map: impl FnMut(T) -> Result<U, E>) -> Result<Paged<U>, E> {
        let rows = self.rows.into_iter().map(map).collect::<Result<_, _>>()?;
        Ok(Paged {
            rows,
            total: self.total,
            next: self.next,
        })
    }
}

/// What is listed. All texts are ours, none is a caller's.
pub(super) struct List {
    /// That rows are read from.
    pub(super) columns: &'static str,
    /// Its `rowid` is a row's number.
    pub(super) table: &'static str,
    /// What there is to say besides the table.
    pub(super) joins: &'static str,
    /// Columns that are searched.
    pub(super) searched: &'static [&'static str],
}

/// In which order. `by` is never NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) by: &'static str,
    pub(super) descending: bool,
}

/// The oldest first.
pub(super) const BY_CREATION: Order = Order {
    by: "created_at",
    descending: false,
};

/// A row and its place.
struct Placed<R> {
    row: R,
    position: String,
}

impl<'r, R: FromRow<'r, SqliteRow>> FromRow<'r, SqliteRow> for Placed<R> {
    fn from_row(row: &'r SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            row: R::from_row(row)?,
            position: row.try_get("position")?,
        })
    }
}

impl List {
    /// A page of those rows for which what `filter` writes holds.
    pub(super) async fn page<R>(
        &self,
        lists: &ListReads,
        order: Order,
        page: &PageQuery,
        filter: impl Fn(&mut QueryBuilder<Sqlite>),
    ) -> Result<Paged<R>, StoreError>
    where
        R: for<'r> FromRow<'r, SqliteRow> + Send + Unpin,
    {
        let Self {
            columns,
            table,
            joins,
            ..
        } = self;
        let Order { by, descending } = order;
        let mut count = QueryBuilder::new(format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE "
        ));
        filter(&mut count);
        self.search(&mut count, page);
        count
            .push(" LIMIT ")
            .push_bind(TOTAL_LIMIT.saturating_add(1))
            .push(")");
        let position = format!("json_array({by}, {table}.rowid)");
        let mut select = QueryBuilder::new(format!(
            "SELECT {columns}, {position} AS position FROM {table} {joins} WHERE "
        ));
        filter(&mut select);
        self.search(&mut select, page);
        let (direction, behind) = if descending {
            ("DESC", '<')
        } else {
            ("ASC", '>')
        };
        if let Some(Position(value, number)) = &page.after {
            // Of rows SQLite looks up only plain columns in an index, and of values any that it
            // has.
            select.push(format_args!(" AND {by} {behind}= "));
            value.push(&mut select);
            select.push(format_args!(" AND ({by}, {table}.rowid) {behind} ("));
            value.push(&mut select);
            select.push(", ").push_bind(*number).push(")");
        }
        select.push(format_args!(
            " ORDER BY {by} {direction}, {table}.rowid {direction} LIMIT "
        ));
        // One more, to see whether there is another page.
        select.push_bind(page.limit.saturating_add(1));

        let mut transaction = lists.begin().await?;
        let mut rows: Vec<Placed<R>> = select.build_query_as().fetch_all(&mut *transaction).await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        let total = if more || page.after.is_some() {
            count
                .build_query_scalar::<i64>()
                .fetch_one(&mut *transaction)
                .await?
                .cast_unsigned()
        } else {
            // It is all there is.
            u64::try_from(rows.len()).unwrap_or(u64::MAX)
        };
        let total = Total::counted(total, true);
        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last
            .map(|last| from_json(&last.position, "a row's place"))
            .transpose()?;
        Ok(Paged {
            rows: rows.into_iter().map(|placed| placed.row).collect(),
            total,
            next,
        })
    }

    fn search(&self, query: &mut QueryBuilder<Sqlite>, page: &PageQuery) {
        let Some(text) = &page.search else { return };
        let pattern = pattern(text);
        let mut before = " AND (";
        for column in self.searched {
            query
                .push(format_args!("{before}{column} LIKE "))
                .push_bind(pattern.clone());
            query.push(format_args!(" ESCAPE '{ESCAPE}'"));
            before = " OR ";
        }
        query.push(")");
    }
}

/// Matches what has `text` somewhere, with [`ESCAPE`].
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | ESCAPE) {
            pattern.push(ESCAPE);
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_its_text_and_nothing_more() {
        assert_eq!(pattern("ci"), "%ci%");
        assert_eq!(pattern(r"50%_\"), r"%50\%\_\\%");
    }

    #[test]
    fn a_position_is_read_as_it_was_written() {
        for json in [r#"[1800000000,7]"#, r#"["a \"name\"",7]"#] {
            let position: Position = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&position).unwrap(), json);
        }
        assert!(serde_json::from_str::<Position>("[null,7]").is_err());
    }
}
