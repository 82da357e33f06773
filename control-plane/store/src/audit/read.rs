//! Reading the audit, the newest entries first.

#[cfg(test)]
mod tests;

use sqlx::{FromRow, QueryBuilder, Sqlite, SqliteConnection};

use crate::condition::Condition;
use crate::page::Found;
use crate::walk::{Effort, Segment, Sequence, Walk};
use crate::{PageQuery, Position, Store, StoreError, to_json};

/// One entry, as it was written.
#[derive(Debug, FromRow)]
pub struct AuditEntry {
    /// The entry's number, which grows from entry to entry.
    pub seq: i64,
    /// The time of the change, in Unix seconds.
    pub at: i64,
    /// `user`, `key`, `system` or `unknown`.
    pub actor_kind: String,
    /// The actor's id.
    pub actor_id: Option<String>,
    /// The actor's name at that time.
    pub actor_name: Option<String>,
    /// The action.
    pub action: String,
    /// The kind of thing that it changed.
    pub target_kind: String,
    /// The thing's id.
    pub target_id: Option<String>,
    /// The thing's name at that time.
    pub target_name: Option<String>,
    /// The fields before the change, as JSON.
    pub before: Option<String>,
    /// The fields after the change, as JSON.
    pub after: Option<String>,
    /// The client's address.
    pub source_address: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

/// A filter for the audit entries of an account.
#[derive(Debug, Default)]
pub struct AuditQuery {
    /// The start of the time range, in Unix seconds, inclusive.
    pub since: Option<i64>,
    /// The end of the time range, in Unix seconds, exclusive.
    pub until: Option<i64>,
    /// The id or name of the actor.
    pub actor: Option<String>,
    /// The action, or the first part of it up to a dot.
    pub action: Option<String>,
    /// The id or name of the target.
    pub target: Option<String>,
}

/// The order of the list: the newest first. Entries of one second are in the order in which they
/// were written.
const SEQUENCE: Sequence = Sequence {
    table: "audit",
    value: "at",
    descending: true,
    segments: &[Segment {
        has: "TRUE",
        by: Some("at"),
    }],
    last: -1,
};

impl Store {
    /// Returns a page of the account's entries, the newest first.
    pub async fn audit(
        &self,
        account_id: &str,
        query: &AuditQuery,
        page: &PageQuery,
    ) -> Result<(Vec<AuditEntry>, Option<Position>), StoreError> {
        const NUMBERED: &str = "SELECT seq, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, \
             target_name, before, after, source_address, request_id FROM audit \
             WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY at DESC, seq DESC";
        let mut transaction = self.0.lists.begin().await?;
        let found = find(&mut transaction, account_id, query, page, Effort::default()).await?;
        let numbered = sqlx::query_as(NUMBERED).bind(to_json(&found.seqs())?);
        Ok((numbered.fetch_all(&mut *transaction).await?, found.next))
    }
}

/// Finds a page of entries. It walks along the index of the filter that matches the fewest entries.
async fn find(
    on: &mut SqliteConnection,
    account_id: &str,
    query: &AuditQuery,
    page: &PageQuery,
    effort: Effort,
) -> Result<Found, StoreError> {
    let of_account = Condition::new("account_id = ").text(account_id);
    let mut times = Condition::default();
    if let Some(since) = query.since {
        times = times.and(&Condition::new("at >= ").number(since));
    }
    if let Some(until) = query.until {
        times = times.and(&Condition::new("at < ").number(until));
    }
    let filters = filters(on, account_id, query).await?;
    let runs = |filter: &[Condition]| -> Vec<Condition> {
        filter
            .iter()
            .map(|one| of_account.clone().and(one).and(&times))
            .collect()
    };
    let mut tests = Condition::default();
    let mut fewest: Option<(u32, Vec<Condition>)> = None;
    for filter in &filters {
        tests = tests.and(&any(filter));
        let runs = runs(filter);
        // With one filter there is nothing to choose.
        let count = if filters.len() > 1 {
            count(on, &runs, effort.few).await?
        } else {
            0
        };
        if fewest.as_ref().is_none_or(|(fewest, _)| count < *fewest) {
            fewest = Some((count, runs));
        }
    }
    let runs = fewest.map_or_else(|| vec![of_account.clone().and(&times)], |(_, runs)| runs);
    // Entries from the index of the only filter need no further test.
    let tests = if filters.len() > 1 {
        tests
    } else {
        Condition::default()
    };
    Walk {
        sequence: SEQUENCE,
        runs,
        tests,
    }
    .page(on, page, effort)
    .await
}

/// Returns the filters of the query: for each, the conditions of which an entry has to meet one.
async fn filters(
    on: &mut SqliteConnection,
    account_id: &str,
    query: &AuditQuery,
) -> Result<Vec<Vec<Condition>>, StoreError> {
    let mut filters = Vec::new();
    for (id, name, wanted) in [
        ("actor_id = ", "actor_name = ", &query.actor),
        ("target_id = ", "target_name = ", &query.target),
    ] {
        if let Some(wanted) = wanted {
            filters.push(vec![
                Condition::new(id).text(wanted),
                Condition::new(name).text(wanted),
            ]);
        }
    }
    if let Some(action) = &query.action {
        filters.push(actions(on, account_id, action).await?);
    }
    Ok(filters)
}

/// Returns the condition that holds where one of `filter` does.
fn any(filter: &[Condition]) -> Condition {
    let mut any = Condition::new("(");
    for (index, one) in filter.iter().enumerate() {
        any = any.sql(if index > 0 { " OR " } else { "" }).then(one);
    }
    any.sql(")")
}

/// Counts the entries in these ranges of an index, up to one more than `few`.
async fn count(on: &mut SqliteConnection, runs: &[Condition], few: u32) -> Result<u32, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT COUNT(*) FROM (");
    for (index, run) in runs.iter().enumerate() {
        query
            .push(if index > 0 { " UNION ALL " } else { "" })
            .push("SELECT 1 FROM audit WHERE ");
        run.push(&mut query);
    }
    query
        .push(" LIMIT ")
        .push_bind(few.saturating_add(1))
        .push(")");
    Ok(query.build_query_scalar().fetch_one(on).await?)
}

/// Returns the account's actions that are `action`, or begin with it and a dot. One look-up leads
/// from one action to the next.
async fn actions(
    on: &mut SqliteConnection,
    account_id: &str,
    action: &str,
) -> Result<Vec<Condition>, StoreError> {
    const ACTIONS: &str = "WITH RECURSIVE actions (action) AS (\
         SELECT MIN(action) FROM audit WHERE account_id = ?1 AND action > ?2 AND action < ?3 UNION ALL \
         SELECT (SELECT MIN(action) FROM audit WHERE account_id = ?1 AND action > actions.action AND action < ?3) \
         FROM actions WHERE actions.action IS NOT NULL) SELECT action FROM actions WHERE action IS NOT NULL";
    let query = sqlx::query_scalar(ACTIONS).bind(account_id);
    let found: Vec<String> = query
        .bind(format!("{action}."))
        .bind(format!("{action}/"))
        .fetch_all(on)
        .await?;
    let actions = std::iter::once(action.to_owned()).chain(found);
    Ok(actions
        .map(|action| Condition::new("action = ").text(action))
        .collect())
}
