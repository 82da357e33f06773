//! Requests by time, key and code, or by some of these, summed up by the database: for keys from
//! `usage_buckets`, for an account from `usage_sums`.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::query::{Group, Resolution, UsageQuery, push_sum, push_which};
use super::top::{self, UsedKeys};
use crate::{Store, StoreError, Total, to_json};

/// A key with its present name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    /// The key's id.
    pub id: String,
    /// The key's name.
    pub name: String,
}

/// The requests with the same values of the dimensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// The start of the bucket in Unix seconds, when grouped by time.
    pub start: Option<i64>,
    /// The key.
    pub key: Option<NamedKey>,
    /// The verdict's code.
    pub code: Option<String>,
    /// The number of requests, at most [`MAX_REQUESTS`](super::MAX_REQUESTS).
    pub requests: u64,
}

/// The result of a usage query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageFound {
    /// The buckets, ordered by time, key and code; with `top_keys` the key with the most requests
    /// comes first.
    pub buckets: Vec<Bucket>,
    /// The number of keys that had such requests, whether or not they are grouped by key.
    pub keys: Total,
    /// True if an omitted key may have more requests than one of the top keys.
    pub top_keys_is_estimate: bool,
}

/// The time, the key's id and name, the code and the requests.
type BucketRow = (
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    i64,
);

impl Store {
    /// Returns the result of `query`, or `None` if that is more than `limit` buckets.
    pub async fn usage(
        &self,
        query: &UsageQuery<'_>,
        limit: usize,
    ) -> Result<Option<UsageFound>, StoreError> {
        let mut transaction = self.0.lists.begin().await?;
        let on = &mut *transaction;
        let used = if query.group.key || query.key_id.is_some() {
            Some(keys(on, query, limit).await?)
        } else {
            None
        };
        let (seqs, top_keys_is_estimate) = match &used {
            Some(UsedKeys { seqs, .. }) if seqs.len() > limit => return Ok(None),
            Some(UsedKeys { seqs, is_estimate }) => (Some(to_json(seqs)?), *is_estimate),
            None => (None, false),
        };
        let select = select(query, seqs.as_deref(), limit);
        let rows: Vec<BucketRow> = { select }.build_query_as().fetch_all(&mut *on).await?;
        if rows.len() > limit {
            return Ok(None);
        }
        let keys = match used {
            Some(UsedKeys { seqs, .. }) if query.top_keys.is_none() && query.key_id.is_none() => {
                Total::counted(u64::try_from(seqs.len()).unwrap_or(u64::MAX), true)
            }
            _ if query.key_id.is_some() => Total::counted(u64::from(!rows.is_empty()), true),
            _ => top::count(on, query).await?,
        };
        let bucket = |(time, id, name, code, requests): BucketRow| Bucket {
            start: time.map(|time| time.saturating_mul(query.resolution.seconds())),
            key: id.zip(name).map(|(id, name)| NamedKey { id, name }),
            code,
            requests: requests.cast_unsigned(),
        };
        let buckets = rows.into_iter().map(bucket).collect();
        Ok(Some(UsageFound {
            buckets,
            keys,
            top_keys_is_estimate,
        }))
    }
}

/// Returns the keys that the query selects and that had such requests. A single key only has to
/// exist.
async fn keys(
    on: &mut SqliteConnection,
    query: &UsageQuery<'_>,
    limit: usize,
) -> Result<UsedKeys, StoreError> {
    const ONE: &str = "SELECT seq FROM keys WHERE account_id = ? AND id = ?";
    if let Some(key_id) = query.key_id {
        let seqs = sqlx::query_scalar(ONE)
            .bind(query.account_id)
            .bind(key_id)
            .fetch_all(on)
            .await?;
        return Ok(UsedKeys {
            seqs,
            is_estimate: false,
        });
    }
    match query.top_keys {
        Some(top_keys) => top::keys(on, query, top_keys).await,
        None => top::used(on, query, limit.saturating_add(1)).await,
    }
}

/// Selects at most one more than `limit` buckets: of the keys with these numbers, which are JSON,
/// or of all keys of the account.
fn select(query: &UsageQuery<'_>, seqs: Option<&str>, limit: usize) -> QueryBuilder<Sqlite> {
    let Group { time, key, code } = query.group;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut select = QueryBuilder::<Sqlite>::new("WITH counted AS (SELECT ");
    let of_time = if query.resolution == Resolution::Day {
        "b.hour / 24"
    } else {
        "b.hour"
    };
    let column = |wanted: bool, column: &'static str| if wanted { column } else { "NULL" };
    select
        .push(column(time, of_time))
        .push(" AS time, ")
        .push(column(key, "listed.key"))
        .push(" AS place, ");
    select
        .push(column(key, "listed.value"))
        .push(" AS seq, ")
        .push(column(code, "b.code"))
        .push(" AS code, ");
    select.push("b.requests FROM ");
    match seqs {
        Some(seqs) => {
            select.push("json_each(").push_bind(seqs.to_owned());
            select
                .push(") AS listed CROSS JOIN usage_buckets b ON b.key_seq = listed.value WHERE ");
        }
        None => {
            select
                .push("usage_sums b WHERE b.account_id = ")
                .push_bind(query.account_id.to_owned())
                .push(" AND ");
        }
    }
    push_which(&mut select, query);
    if key {
        select.push(" LIMIT ").push_bind(query.max_rows(limit));
    }
    select.push("), summed AS (SELECT time, place, seq, code, ");
    push_sum(&mut select);
    let group = [(time, "time"), (key, "place, seq"), (code, "code")]
        .into_iter()
        .filter(|(wanted, _)| *wanted);
    let group: Vec<_> = group.map(|(_, column)| column).collect();
    select.push(" AS total FROM counted ");
    if !group.is_empty() {
        select.push("GROUP BY ").push(group.join(", "));
    }
    select.push(" LIMIT ").push_bind(limit.saturating_add(1));
    select.push(") SELECT s.time, k.id, k.name, s.code, s.total FROM summed s LEFT JOIN keys k ON k.seq = s.seq ");
    select.push(match query.top_keys {
        Some(_) => "ORDER BY s.place, s.time, s.code",
        None => "ORDER BY s.time, k.id, s.code",
    });
    select
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;
    use crate::usage::DAY;
    use sqlx::AssertSqlSafe;

    const ALL: Group = Group {
        time: true,
        key: true,
        code: true,
    };

    async fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        (directory, store)
    }

    fn query(key_id: Option<&str>, group: Group, top_keys: Option<u32>) -> UsageQuery<'_> {
        let (times, resolution) = (0..DAY, Resolution::Hour);
        UsageQuery {
            account_id: "acc",
            times,
            resolution,
            key_id,
            code: None,
            group,
            top_keys,
        }
    }

    /// Returns SQLite's query plan, step by step.
    async fn plan(store: &Store, select: QueryBuilder<Sqlite>) -> Vec<String> {
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", select.sql().as_str()));
        let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
            .fetch_all(&store.0.readers)
            .await
            .unwrap();
        steps.into_iter().map(|(.., step)| step).collect()
    }

    #[tokio::test]
    async fn usage_reports_search_for_their_rows() {
        let (_directory, store) = store().await;
        let buckets = "SEARCH b USING PRIMARY KEY (key_seq=? AND hour>? AND hour<?)";
        let sums = "SEARCH b USING PRIMARY KEY (account_id=? AND hour>? AND hour<?)";
        let by_time = Group { key: false, ..ALL };
        for (seqs, group, top_keys, expected) in [
            (Some("[1]"), ALL, None, buckets),
            (None, by_time, None, sums),
            (Some("[1]"), ALL, Some(1), buckets),
        ] {
            let query = query(None, group, top_keys);
            let plan = plan(&store, select(&query, seqs, 1)).await;
            let searches: Vec<_> = plan
                .iter()
                .filter(|step| step.contains(" b "))
                .map(|step| step.trim())
                .collect();
            assert_eq!(searches, [expected], "{plan:#?}");
        }
    }
}
