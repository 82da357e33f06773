//! INSERT statements of rows that name each column beside its value, so that a column is added to a
//! table in one place.

use sqlx::sqlite::{SqliteArguments, SqliteQueryResult};
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type};

use super::StoreError;

/// A row to add to a table.
pub(super) trait NewRow {
    /// The table.
    const TABLE: &'static str;

    /// The clause after the values, if any.
    const ON_CONFLICT: &'static str = "";

    /// Adds the value of each column. All rows of a type have the same columns.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    fn columns(&self, columns: &mut Columns) -> Result<(), StoreError>;
}

/// The columns of a statement, and the values of its rows.
#[derive(Default)]
pub(super) struct Columns {
    names: Vec<&'static str>,
    values: SqliteArguments,
}

impl Columns {
    /// Adds a column of the row with its value.
    ///
    /// # Errors
    /// When the value cannot be encoded.
    pub(super) fn set<'a, T>(
        &mut self,
        name: &'static str,
        value: T,
    ) -> Result<&mut Self, StoreError>
    where
        T: Encode<'a, Sqlite> + Type<Sqlite>,
    {
        self.values.add(value).map_err(sqlx::Error::Encode)?;
        self.names.push(name);
        Ok(self)
    }
}

/// Adds the rows to their table with one statement.
pub(super) async fn insert<R: NewRow>(
    to: &mut SqliteConnection,
    rows: &[R],
) -> Result<SqliteQueryResult, StoreError> {
    let mut columns = Columns::default();
    for row in rows {
        columns.names.clear();
        row.columns(&mut columns)?;
    }
    if columns.names.is_empty() {
        return Ok(SqliteQueryResult::default());
    }
    let statement = statement::<R>(&columns.names, rows.len());
    let query = sqlx::query_with(AssertSqlSafe(statement), columns.values);
    Ok(query.execute(to).await?)
}

fn statement<R: NewRow>(names: &[&str], rows: usize) -> String {
    let row = format!("({})", vec!["?"; names.len()].join(", "));
    let (names, rows) = (names.join(", "), vec![row; rows].join(", "));
    format!(
        "INSERT INTO {} ({names}) VALUES {rows} {}",
        R::TABLE,
        R::ON_CONFLICT
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct PointRow(i64, &'static str);

    impl NewRow for PointRow {
        const TABLE: &'static str = "points";
        const ON_CONFLICT: &'static str = "ON CONFLICT DO NOTHING";

        fn columns(&self, columns: &mut Columns) -> Result<(), StoreError> {
            columns.set("x", self.0)?.set("label", self.1)?;
            Ok(())
        }
    }

    #[test]
    fn statement_names_each_column_once() {
        assert_eq!(
            statement::<PointRow>(&["x", "label"], 2),
            "INSERT INTO points (x, label) VALUES (?, ?), (?, ?) ON CONFLICT DO NOTHING"
        );
    }

    #[tokio::test]
    async fn values_land_in_their_columns() {
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        sqlx::query("CREATE TABLE points (label TEXT UNIQUE, x INTEGER)")
            .execute(&mut *connection)
            .await
            .unwrap();
        let rows = [PointRow(1, "a"), PointRow(2, "b"), PointRow(3, "a")];
        let added = insert(&mut connection, &rows).await.unwrap();
        assert_eq!(added.rows_affected(), 2);
        assert_eq!(
            insert::<PointRow>(&mut connection, &[])
                .await
                .unwrap()
                .rows_affected(),
            0
        );
        let points: Vec<(i64, String)> = sqlx::query_as("SELECT x, label FROM points ORDER BY x")
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        assert_eq!(points, [(1, "a".to_owned()), (2, "b".to_owned())]);
    }
}
