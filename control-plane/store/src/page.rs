//! Lists page by page. A page begins after a [`Position`], a row's place in the order, and not
//! after a number of rows: rows that are added or removed between two pages cause no row to be
//! listed twice or left out, and the last page costs the same as the first.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite};

use super::reading::ListReads;
use super::{StoreError, from_json};

/// Totals are exact up to this number.
pub(crate) const TOTAL_LIMIT: u32 = 10_000;

/// The escape character for wildcards in a pattern.
const ESCAPE: char = '\\';

/// The part of a list to return.
#[derive(Debug, Clone, PartialEq)]
pub struct PageQuery {
    /// The maximum number of rows.
    pub limit: u32,
    /// The position after which the page begins. `None` for the first page.
    pub after: Option<Position>,
    /// A text that the searched columns must contain, ignoring case.
    pub search: Option<String>,
}

/// A row's place: its value in the list's order, and its number, which distinguishes rows with the
/// same value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position(Value, i64);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Number(i64),
    Text(String),
}

impl Position {
    /// Returns the place of the row `seq` whose value is the number `value`.
    pub fn new(value: i64, seq: i64) -> Self {
        Self(Value::Number(value), seq)
    }

    /// Returns the row's value, if it is a number, and its number.
    pub fn numbers(&self) -> Option<(i64, i64)> {
        match self.0 {
            Value::Number(value) => Some((value, self.1)),
            Value::Text(_) => None,
        }
    }

    /// Returns whether the row's value is this number.
    pub(super) fn has_number(&self, number: i64) -> bool {
        self.0 == Value::Number(number)
    }

    /// Returns the row's number.
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

/// A page, with the total and the position of the next one.
#[derive(Debug)]
pub struct Paged<T> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// The total of all pages.
    pub total: Total,
    /// The position at which the next page begins. `None` after the last one.
    pub next: Option<Position>,
}

/// The numbers of a page's rows with their places, and where the next page begins.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) rows: Vec<(i64, Position)>,
    pub(super) next: Option<Position>,
}

impl Found {
    /// Returns a page of the first `limit` of these rows; if there are more, there is a next page.
    pub(super) fn full(mut rows: Vec<(i64, Position)>, limit: usize) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|(_, position)| position.clone());
        Self { rows, next }
    }

    /// Returns the rows' numbers.
    pub(super) fn seqs(&self) -> Vec<i64> {
        self.rows.iter().map(|(seq, _)| *seq).collect()
    }
}

/// The number of rows in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The number of rows. An estimate is a lower bound.
    pub count: u64,
    /// True if the number is an estimate.
    pub is_estimate: bool,
}

impl Total {
    /// Returns the total for a number that was counted up to one more than [`TOTAL_LIMIT`]; `all`
    /// means that no rows were left to count.
    pub(super) fn counted(count: u64, all: bool) -> Self {
        let is_estimate = count > TOTAL_LIMIT.into() || !all;
        Self {
            count: count.min(TOTAL_LIMIT.into()),
            is_estimate,
        }
    }

    /// Returns the total of a list that has at least `count` rows.
    pub(super) fn at_least(self, count: u64) -> Self {
        Self {
            count: self.count.max(count),
            ..self
        }
    }
}

impl<T> Paged<T> {
    /// Converts each row of the page.
    pub fn try_map<U, E>(self, map: impl FnMut(T) -> Result<U, E>) -> Result<Paged<U>, E> {
        let rows = self.rows.into_iter().map(map).collect::<Result<_, _>>()?;
        Ok(Paged {
            rows,
            total: self.total,
            next: self.next,
        })
    }
}

/// The definition of a list. All texts are constants, none comes from a caller.
pub(super) struct List {
    /// The columns that rows are read from.
    pub(super) columns: &'static str,
    /// The table or the view.
    pub(super) table: &'static str,
    /// The column with a row's number.
    pub(super) number: &'static str,
    /// The columns that are searched.
    pub(super) searched: &'static [&'static str],
}

/// The order of a list. `by` is never NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) by: &'static str,
    pub(super) descending: bool,
}

/// The order of creation: the oldest first.
pub(super) const BY_CREATION: Order = Order {
    by: "created_at",
    descending: false,
};

/// A row and its position.
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
    /// Returns a page of the rows that meet the condition which `filter` writes.
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
        let mut transaction = lists.begin().await?;
        let mut select = self.select(order, page, &filter);
        let mut rows: Vec<Placed<R>> = select.build_query_as().fetch_all(&mut *transaction).await?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        let total = if more || page.after.is_some() {
            self.count(page, &filter)
                .build_query_scalar::<i64>()
                .fetch_one(&mut *transaction)
                .await?
                .cast_unsigned()
        } else {
            // The page is the whole list.
            u64::try_from(rows.len()).unwrap_or(u64::MAX)
        };

        rows.truncate(limit);
        let last = rows.last().filter(|_| more);
        let next = last
            .map(|last| from_json(&last.position, "a row's place"))
            .transpose()?;
        Ok(Paged {
            rows: rows.into_iter().map(|placed| placed.row).collect(),
            total: Total::counted(total, true),
            next,
        })
    }

    /// Selects the rows of a page, and one more, which shows whether there is a next page.
    fn select(
        &self,
        order: Order,
        page: &PageQuery,
        filter: impl Fn(&mut QueryBuilder<Sqlite>),
    ) -> QueryBuilder<Sqlite> {
        let Self {
            columns,
            table,
            number,
            ..
        } = self;
        let Order { by, descending } = order;
        let (direction, behind) = if descending {
            ("DESC", '<')
        } else {
            ("ASC", '>')
        };

        let mut select = QueryBuilder::new(format!(
            "SELECT {columns}, json_array({by}, {number}) AS position FROM {table} WHERE "
        ));
        filter(&mut select);
        self.search(&mut select, page);
        if let Some(Position(value, seq)) = &page.after {
            // SQLite uses an index for a row value only if its members are plain columns, but for a
            // single value with any indexed expression.
            select.push(format_args!(" AND {by} {behind}= "));
            value.push(&mut select);
            select.push(format_args!(" AND ({by}, {number}) {behind} ("));
            value.push(&mut select);
            select.push(", ").push_bind(*seq).push(")");
        }
        select.push(format_args!(
            " ORDER BY {by} {direction}, {number} {direction} LIMIT "
        ));
        select.push_bind(page.limit.saturating_add(1));
        select
    }

    /// Counts the rows of all pages, up to one more than [`TOTAL_LIMIT`].
    fn count(
        &self,
        page: &PageQuery,
        filter: impl Fn(&mut QueryBuilder<Sqlite>),
    ) -> QueryBuilder<Sqlite> {
        let table = self.table;
        let mut count = QueryBuilder::new(format!(
            "SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE "
        ));
        filter(&mut count);
        self.search(&mut count, page);
        count
            .push(" LIMIT ")
            .push_bind(TOTAL_LIMIT.saturating_add(1))
            .push(")");
        count
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

/// Returns a pattern that matches texts containing `text`, escaped with [`ESCAPE`].
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
    fn pattern_matches_its_text_only() {
        assert_eq!(pattern("ci"), "%ci%");
        assert_eq!(pattern(r"50%_\"), r"%50\%\_\\%");
    }

    #[test]
    fn page_position_survives_the_round_trip() {
        for json in [r#"[1800000000,7]"#, r#"["a \"name\"",7]"#] {
            let position: Position = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&position).unwrap(), json);
        }
        assert!(serde_json::from_str::<Position>("[null,7]").is_err());
    }
}
