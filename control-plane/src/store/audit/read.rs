//! Reading the audit, the newest entries first.

use sqlx::{FromRow, QueryBuilder, Sqlite};

use crate::store::{Store, StoreError};

/// One entry, as it was written.
#[derive(Debug, FromRow)]
pub(crate) struct AuditEntry {
    /// Grows from entry to entry.
    pub(crate) seq: i64,
    /// Unix seconds.
    pub(crate) at: i64,
    /// `user`, `key`, `system` or `unknown`.
    pub(crate) actor_kind: String,
    pub(crate) actor_id: Option<String>,
    pub(crate) actor_name: Option<String>,
    pub(crate) action: String,
    pub(crate) target_kind: String,
    pub(crate) target_id: Option<String>,
    pub(crate) target_name: Option<String>,
    /// JSON.
    pub(crate) before: Option<String>,
    /// JSON.
    pub(crate) after: Option<String>,
    pub(crate) source_address: Option<String>,
    pub(crate) request_id: Option<String>,
}

/// Which entries of an account are wanted.
#[derive(Debug, Default)]
pub(crate) struct AuditQuery {
    /// Unix seconds: none before.
    pub(crate) since: Option<i64>,
    /// Unix seconds: none from then on.
    pub(crate) until: Option<i64>,
    /// By this id or name.
    pub(crate) actor: Option<String>,
    /// Of this action, or of all that begin with it and a dot.
    pub(crate) action: Option<String>,
    /// Of this id or name.
    pub(crate) target: Option<String>,
    /// None that is not older than this one.
    pub(crate) before: Option<i64>,
    /// At most so many.
    pub(crate) limit: u32,
}

impl Store {
    /// The account's entries that are asked for, the newest first.
    pub(crate) async fn audit(&self, account_id: &str, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let mut select = QueryBuilder::<Sqlite>::new(
            "SELECT seq, at, actor_kind, actor_id, actor_name, action, target_kind, target_id, target_name, before, \
             after, source_address, request_id FROM audit WHERE account_id = ",
        );
        select.push_bind(account_id);
        if let Some(seq) = query.before {
            select.push(" AND seq < ").push_bind(seq);
        }
        if let Some(since) = query.since {
            select.push(" AND at >= ").push_bind(since);
        }
        if let Some(until) = query.until {
            select.push(" AND at < ").push_bind(until);
        }
        for (id, name, wanted) in
            [("actor_id", "actor_name", &query.actor), ("target_id", "target_name", &query.target)]
        {
            if let Some(wanted) = wanted {
                select.push(format_args!(" AND ({id} = ")).push_bind(wanted);
                select.push(format_args!(" OR {name} = ")).push_bind(wanted).push(")");
            }
        }
        if let Some(action) = &query.action {
            select.push(" AND (action = ").push_bind(action);
            let (from, to) = (format!("{action}."), format!("{action}/"));
            select.push(" OR (action > ").push_bind(from).push(" AND action < ").push_bind(to).push("))");
        }
        select.push(" ORDER BY seq DESC LIMIT ").push_bind(query.limit);
        let mut read = self.0.lists.begin().await?;
        Ok(select.build_query_as().fetch_all(&mut *read).await?)
    }
}
