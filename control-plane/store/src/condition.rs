//! Conditions of queries that are built at run time. All SQL texts are constants, and values are
//! bound.

use sqlx::{QueryBuilder, Sqlite};

/// A condition on rows. The empty one holds for all.
#[derive(Debug, Clone, Default)]
pub(super) struct Condition(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Sql(&'static str),
    Text(String),
    Number(i64),
}

impl Condition {
    /// Returns the condition `sql`.
    pub(super) fn new(sql: &'static str) -> Self {
        Self(vec![Part::Sql(sql)])
    }

    /// Appends `sql`.
    pub(super) fn sql(mut self, sql: &'static str) -> Self {
        self.0.push(Part::Sql(sql));
        self
    }

    /// Appends a text value.
    pub(super) fn text(mut self, value: impl Into<String>) -> Self {
        self.0.push(Part::Text(value.into()));
        self
    }

    /// Appends a number.
    pub(super) fn number(mut self, value: i64) -> Self {
        self.0.push(Part::Number(value));
        self
    }

    /// Appends another condition.
    pub(super) fn then(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }

    /// Returns the condition that holds where both do.
    pub(super) fn and(self, other: &Self) -> Self {
        let both = !self.is_empty() && !other.is_empty();
        let joined = if both { self.sql(" AND ") } else { self };
        joined.then(other)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&self, to: &mut QueryBuilder<Sqlite>) {
        if self.is_empty() {
            to.push("TRUE");
        }
        for part in &self.0 {
            match part {
                Part::Sql(sql) => to.push(*sql),
                Part::Text(value) => to.push_bind(value.clone()),
                Part::Number(value) => to.push_bind(*value),
            };
        }
    }
}
