//! Walks along indexes: finds the rows of a page, and their total, with bounded work.
//!
//! A walk follows one or more runs, each a range of an index that has the rows in the wanted order,
//! and tests each row. It ends when the page is full, or after a maximum number of rows: then the
//! page is short, and the next one begins where the walk ended.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::condition::Condition;
use super::page::{Found, PageQuery, Position, TOTAL_LIMIT, Total};
use super::{StoreError, from_json};

/// The maximum amount of work for a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// The number of rows that count as few: they are all read and sorted.
    pub(super) few: u32,
    /// The maximum number of rows that a walk tests.
    pub(super) walk: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self {
            few: TOTAL_LIMIT,
            walk: 30_000,
        }
    }
}

/// A part of an order in which an index has rows: rows without a value come last in both
/// directions, but an index has them first or last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    /// The condition that rows are in the segment.
    pub(super) has: &'static str,
    /// The column that rows are ordered by before their number. `None`: only by their number.
    pub(super) by: Option<&'static str>,
}

/// The order of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sequence {
    pub(super) table: &'static str,
    /// The value of a row's position, never NULL.
    pub(super) value: &'static str,
    pub(super) descending: bool,
    pub(super) segments: &'static [Segment],
    /// The value for all rows of the last segment, if there are several.
    pub(super) last: i64,
}

impl Sequence {
    fn direction(&self) -> (&'static str, char) {
        if self.descending {
            ("DESC", '<')
        } else {
            ("ASC", '>')
        }
    }

    fn push_order(&self, to: &mut QueryBuilder<Sqlite>) {
        let (Self { table, value, .. }, (direction, _)) = (self, self.direction());
        to.push(format_args!(
            " ORDER BY {value} {direction}, {table}.seq {direction}"
        ));
    }

    fn push_select(&self, to: &mut QueryBuilder<Sqlite>) {
        let Self { table, value, .. } = self;
        to.push(format_args!(
            "SELECT {table}.seq, json_array({value}, {table}.seq) AS position FROM ("
        ));
    }

    /// Returns the index of the segment that contains the first row after `after`.
    fn segment_of(&self, after: Option<&Position>) -> usize {
        let is_last = after.is_some_and(|position| position.has_number(self.last));
        if is_last {
            self.segments.len().saturating_sub(1)
        } else {
            0
        }
    }
}

/// The ranges of indexes to search, and the condition on their rows.
pub(super) struct Walk {
    pub(super) sequence: Sequence,
    /// The ranges of indexes, in the order of the sequence.
    pub(super) runs: Vec<Condition>,
    pub(super) tests: Condition,
}

impl Walk {
    /// Finds the rows of a page.
    pub(super) async fn page(
        &self,
        on: &mut SqliteConnection,
        page: &PageQuery,
        effort: Effort,
    ) -> Result<Found, StoreError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut rows: Vec<(i64, Position)> = Vec::new();
        let (mut after, mut met) = (page.after.clone(), 0_u32);
        let mut chunk = page.limit.saturating_add(1);
        for segment in self
            .sequence
            .segments
            .iter()
            .skip(self.sequence.segment_of(after.as_ref()))
        {
            loop {
                let wanted = limit.saturating_add(1).saturating_sub(rows.len());
                rows.extend(
                    self.rows(on, segment, after.as_ref(), chunk, wanted)
                        .await?,
                );
                if rows.len() > limit {
                    return Ok(Found::full(rows, limit));
                }
                let Some(end) = self.end(on, segment, after.as_ref(), chunk).await? else {
                    break;
                };
                met = met.saturating_add(chunk);
                if met >= effort.walk {
                    return Ok(Found {
                        rows,
                        next: Some(end),
                    });
                }
                after = Some(end);
                chunk = chunk.saturating_mul(4).min(effort.walk.saturating_sub(met));
            }
            after = None;
        }
        Ok(Found { rows, next: None })
    }

    /// Counts all rows.
    pub(super) async fn total(
        &self,
        on: &mut SqliteConnection,
        effort: Effort,
    ) -> Result<Total, StoreError> {
        let enough = TOTAL_LIMIT.saturating_add(1);
        if self.tests.is_empty() {
            let found = self.count(on, enough).await?;
            return Ok(Total::counted(found, true));
        }

        let limit = effort.walk.max(enough);
        let table = self.sequence.table;
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM (SELECT 1 FROM (");
        self.push_numbers(&mut query, limit);
        query.push(format_args!(
            ") AS met CROSS JOIN {table} ON {table}.seq = met.number WHERE "
        ));
        self.tests.push(&mut query);
        query.push(" LIMIT ").push_bind(enough).push(")");
        let found: i64 = query.build_query_scalar().fetch_one(&mut *on).await?;

        // With more rows than are counted the total is an estimate anyway.
        let found = found.cast_unsigned();
        let all_tested =
            found >= u64::from(enough) || self.count(on, limit).await? < u64::from(limit);
        Ok(Total::counted(found, all_tested))
    }

    /// Counts the rows of all runs, tested or not, up to `limit`.
    async fn count(&self, on: &mut SqliteConnection, limit: u32) -> Result<u64, StoreError> {
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM (");
        self.push_numbers(&mut query, limit);
        query.push(")");
        let count: i64 = query.build_query_scalar().fetch_one(on).await?;
        Ok(count.cast_unsigned())
    }

    /// Returns at most `wanted` of the next `chunk` rows, those that pass the tests.
    async fn rows(
        &self,
        on: &mut SqliteConnection,
        segment: &Segment,
        after: Option<&Position>,
        chunk: u32,
        wanted: usize,
    ) -> Result<Vec<(i64, Position)>, StoreError> {
        let table = self.sequence.table;
        let mut query = QueryBuilder::new("");
        self.sequence.push_select(&mut query);
        self.push_met(&mut query, segment, after, chunk);
        query.push(format_args!(
            ") AS met CROSS JOIN {table} ON {table}.seq = met.number WHERE "
        ));
        self.tests.push(&mut query);
        self.sequence.push_order(&mut query);
        query
            .push(" LIMIT ")
            .push_bind(i64::try_from(wanted).unwrap_or(i64::MAX));
        fetch(on, query).await
    }

    /// Returns the position of the last of the next `chunk` rows, or `None` if there are fewer.
    async fn end(
        &self,
        on: &mut SqliteConnection,
        segment: &Segment,
        after: Option<&Position>,
        chunk: u32,
    ) -> Result<Option<Position>, StoreError> {
        let table = self.sequence.table;
        let mut query = QueryBuilder::new("");
        self.sequence.push_select(&mut query);
        query.push("SELECT number FROM (");
        self.push_met(&mut query, segment, after, chunk);
        query
            .push(") LIMIT 1 OFFSET ")
            .push_bind(chunk.saturating_sub(1));
        query.push(format_args!(
            ") AS met CROSS JOIN {table} ON {table}.seq = met.number"
        ));
        Ok(fetch(on, query).await?.pop().map(|(_, position)| position))
    }

    /// Selects the numbers of `limit` rows of all runs and segments, in any order.
    fn push_numbers(&self, to: &mut QueryBuilder<Sqlite>, limit: u32) {
        let mut before = "SELECT number FROM (";
        for run in &self.runs {
            to.push(before);
            self.push_run(to, run, None, None, limit);
            before = ") UNION SELECT number FROM (";
        }
        to.push(") LIMIT ").push_bind(limit);
    }

    /// Selects the numbers of the next `chunk` rows of all runs, in order.
    fn push_met(
        &self,
        to: &mut QueryBuilder<Sqlite>,
        segment: &Segment,
        after: Option<&Position>,
        chunk: u32,
    ) {
        let (direction, _) = self.sequence.direction();
        let several = self.runs.len() > 1;
        let mut before = if several {
            "SELECT number, value FROM (SELECT * FROM ("
        } else {
            ""
        };
        for run in &self.runs {
            to.push(before);
            self.push_run(to, run, Some(segment), after, chunk);
            before = ") UNION SELECT * FROM (";
        }
        if several {
            to.push(format_args!(
                ")) ORDER BY value {direction}, number {direction} LIMIT "
            ))
            .push_bind(chunk);
        }
    }

    fn push_run(
        &self,
        to: &mut QueryBuilder<Sqlite>,
        run: &Condition,
        segment: Option<&Segment>,
        after: Option<&Position>,
        chunk: u32,
    ) {
        let (Sequence { table, .. }, (direction, behind)) =
            (self.sequence, self.sequence.direction());
        let by = segment
            .or(self.sequence.segments.first())
            .and_then(|segment| segment.by);
        let value = by.unwrap_or("NULL");
        to.push(format_args!(
            "SELECT {table}.seq AS number, {value} AS value FROM {table} WHERE "
        ));
        run.push(to);
        if let Some(segment) = segment {
            to.push(format_args!(" AND {}", segment.has));
        }
        if let Some(after) = after {
            match by {
                Some(by) => {
                    // SQLite uses an index for a row value only if its members are plain columns,
                    // but for a single value with any indexed expression.
                    to.push(format_args!(" AND {by} {behind}= "));
                    after.push_value(to);
                    to.push(format_args!(" AND ({by}, {table}.seq) {behind} ("));
                    after.push_value(to);
                    to.push(", ").push_bind(after.number()).push(")");
                }
                None => {
                    _ = to
                        .push(format_args!(" AND {table}.seq {behind} "))
                        .push_bind(after.number());
                }
            }
        }
        to.push(" ORDER BY ");
        if let Some(by) = by {
            to.push(format_args!("{by} {direction}, "));
        }
        to.push(format_args!("{table}.seq {direction} LIMIT "))
            .push_bind(chunk);
    }
}

/// A small number of rows, by their numbers: all of them are read, tested and sorted.
pub(super) struct Gathering {
    pub(super) sequence: Sequence,
    /// A query for numbers, in a column `number`.
    pub(super) numbers: Condition,
    pub(super) tests: Condition,
}

impl Gathering {
    /// Finds the rows of a page.
    pub(super) async fn page(
        &self,
        on: &mut SqliteConnection,
        page: &PageQuery,
    ) -> Result<Found, StoreError> {
        let (Sequence { table, value, .. }, (_, behind)) =
            (self.sequence, self.sequence.direction());
        let mut query = QueryBuilder::new("");
        self.sequence.push_select(&mut query);
        self.push_passing(&mut query);
        if let Some(after) = &page.after {
            query.push(format_args!(" AND ({value}, {table}.seq) {behind} ("));
            after.push_value(&mut query);
            query.push(", ").push_bind(after.number()).push(")");
        }
        self.sequence.push_order(&mut query);
        query
            .push(" LIMIT ")
            .push_bind(page.limit.saturating_add(1));
        let rows = fetch(on, query).await?;
        Ok(Found::full(
            rows,
            usize::try_from(page.limit).unwrap_or(usize::MAX),
        ))
    }

    /// Counts all rows.
    pub(super) async fn total(&self, on: &mut SqliteConnection) -> Result<Total, StoreError> {
        let mut query = QueryBuilder::new("SELECT COUNT(*) FROM (");
        self.push_passing(&mut query);
        let found: i64 = query.build_query_scalar().fetch_one(on).await?;
        Ok(Total::counted(found.cast_unsigned(), true))
    }

    fn push_passing(&self, to: &mut QueryBuilder<Sqlite>) {
        let table = self.sequence.table;
        to.push("SELECT DISTINCT number FROM (");
        self.numbers.push(to);
        to.push(format_args!(
            ")) AS met CROSS JOIN {table} ON {table}.seq = met.number WHERE "
        ));
        self.tests.push(to);
    }
}

async fn fetch(
    on: &mut SqliteConnection,
    mut query: QueryBuilder<Sqlite>,
) -> Result<Vec<(i64, Position)>, StoreError> {
    let rows: Vec<(i64, String)> = query.build_query_as().fetch_all(on).await?;
    rows.into_iter()
        .map(|(seq, position)| Ok((seq, from_json(&position, "a row's place")?)))
        .collect()
}

#[cfg(test)]
mod statements {
    use super::*;

    impl Walk {
        /// Returns its statements, at the beginning and after a row.
        pub(crate) fn statements(&self) -> Vec<String> {
            let table = self.sequence.table;
            let rows = |met: String| {
                let mut query = QueryBuilder::new("");
                self.sequence.push_select(&mut query);
                query.push(met).push(format_args!(
                    ") AS met CROSS JOIN {table} ON {table}.seq = met.number WHERE "
                ));
                self.tests.push(&mut query);
                self.sequence.push_order(&mut query);
                query.sql().as_str().to_owned()
            };
            self.met_statements().into_iter().map(rows).collect()
        }

        /// Returns the statement that counts its rows.
        pub(crate) fn count_statement(&self) -> String {
            let mut query = QueryBuilder::new("");
            self.push_numbers(&mut query, 1);
            query.sql().as_str().to_owned()
        }

        pub(crate) fn met_statements(&self) -> Vec<String> {
            let mut statements = Vec::new();
            for segment in self.sequence.segments {
                for after in [None, Some(Position::new(1, 1))] {
                    let mut query = QueryBuilder::new("");
                    self.push_met(&mut query, segment, after.as_ref(), 1);
                    statements.push(query.sql().as_str().to_owned());
                }
            }
            statements
        }
    }

    impl Gathering {
        /// Returns its statement.
        pub(crate) fn statement(&self) -> String {
            let mut query = QueryBuilder::new("");
            self.sequence.push_select(&mut query);
            self.push_passing(&mut query);
            query.sql().as_str().to_owned()
        }
    }
}
