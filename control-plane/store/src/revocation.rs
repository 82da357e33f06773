//! Revoking keys. A batch is one transaction and one revision, all or nothing.

use sqlx::{QueryBuilder, Sqlite};
use std::collections::{HashMap, HashSet};

use super::audit::Event;
use super::revision::{RevisionTx, run_to_completion};
use super::slots::{self, Leaving};
use super::webhooks::outbox;
use super::{Authorized, Store, StoreError, keys, policies};

/// The maximum number of keys in one statement.
const ROWS: usize = 500;

/// The result of revoking one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The key's id: `key_…`
    pub id: String,
    /// The time at which it was first revoked.
    pub revoked_at: i64,
    /// The revision from which on nodes refuse it.
    pub revision: u64,
}

impl Store {
    /// Revokes those of `ids` that are not revoked yet; if there are none, nothing changes. Fails
    /// with [`StoreError::KeyNotFound`], and revokes none, if one of them is not in the account.
    pub async fn revoke_keys(
        &self,
        account_id: &str,
        ids: &[String],
        now: i64,
    ) -> Result<Vec<Revoked>, StoreError> {
        let (store, account_id, ids) = (self.clone(), account_id.to_owned(), ids.to_vec());
        run_to_completion(async move {
            let mut change = RevisionTx::begin(&store).await?;
            let (revoked, any) = revoke_all(&mut change, &account_id, ids, now).await?;
            if any {
                change.commit().await?;
            }
            Ok(revoked)
        })
        .await
    }
}

impl Authorized {
    /// Revokes one key, unless it is revoked already. Fails with [`StoreError::KeyNotFound`].
    pub async fn revoke_key(self, id: String) -> Result<Revoked, StoreError> {
        run_to_completion(async move {
            let mut authorized = self.begin().await?;
            let key = keys::find(
                authorized.tx.connection(),
                &authorized.caller.account_id,
                &id,
            )
            .await?;
            // A repeated call gets the same response, with any `If-Match`.
            if key.revoked_at.is_none() {
                authorized.expect(&key)?;
            }
            let (change, account_id) = (&mut authorized.tx, &authorized.caller.account_id);
            let (revoked, any) = revoke_all(change, account_id, vec![id], self.now).await?;
            if any {
                authorized
                    .commit(&[Event::deleted("key.revoke", &key)])
                    .await?;
            }
            revoked.into_iter().next().ok_or(StoreError::KeyNotFound)
        })
        .await
    }
}

/// Revokes keys whose owner ceased to exist at `revoked_at`.
pub(super) async fn revoke_ended(
    change: &mut RevisionTx,
    account_id: &str,
    ids: &[String],
    revoked_at: i64,
    now: i64,
) -> Result<(), StoreError> {
    let mut left = HashSet::new();
    for ids in ids.chunks(ROWS) {
        left.extend(revoke(change, account_id, ids, revoked_at).await?);
    }
    settle(change, account_id, left, now).await
}

/// Revokes keys. Returns the results, and whether there is anything to commit.
async fn revoke_all(
    change: &mut RevisionTx,
    account_id: &str,
    ids: Vec<String>,
    now: i64,
) -> Result<(Vec<Revoked>, bool), StoreError> {
    let mut left = HashSet::new();
    let mut found = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(ROWS) {
        left.extend(revoke(change, account_id, ids, now).await?);
        found.extend(revoked(change, account_id, ids).await?);
    }
    let all = ids.into_iter().map(|id| {
        let &(revoked_at, revision) = found.get(&id).ok_or(StoreError::KeyNotFound)?;
        Ok(Revoked {
            id,
            revoked_at,
            revision,
        })
    });
    let all = all.collect::<Result<_, StoreError>>()?;
    let any = !left.is_empty();
    if any {
        settle(change, account_id, left, now).await?;
    }
    Ok((all, any))
}

/// Handles the consequences of revoking keys: frees their slots, retires their `policies`, and adds
/// events for webhooks.
async fn settle(
    change: &mut RevisionTx,
    account_id: &str,
    policies: HashSet<i64>,
    now: i64,
) -> Result<(), StoreError> {
    slots::free(change, Leaving::Revoked, now).await?;
    policies::retire(change, policies).await?;
    outbox::revoked(change, account_id, now).await
}

/// Revokes those of `ids` that were not revoked before, and returns their policies.
async fn revoke(
    change: &mut RevisionTx,
    account_id: &str,
    ids: &[String],
    now: i64,
) -> Result<Vec<i64>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new("UPDATE keys SET revoked_at = ");
    query
        .push_bind(now)
        .push(", updated_at = ")
        .push_bind(now)
        .push(", revision = ")
        .push_bind(change.revision());
    query
        .push(" WHERE revoked_at IS NULL AND account_id = ")
        .push_bind(account_id);
    among(&mut query, ids);
    query.push(" RETURNING policy_id");
    Ok(query
        .build_query_scalar()
        .fetch_all(change.connection())
        .await?)
}

/// Returns the time and the revision of the revocation of those of `ids` that exist.
async fn revoked(
    change: &mut RevisionTx,
    account_id: &str,
    ids: &[String],
) -> Result<impl Iterator<Item = (String, (i64, u64))>, StoreError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT id, revoked_at, revision FROM keys WHERE account_id = ",
    );
    query.push_bind(account_id);
    among(&mut query, ids);
    let rows: Vec<(String, i64, i64)> = query
        .build_query_as()
        .fetch_all(change.connection())
        .await?;
    Ok(rows
        .into_iter()
        .map(|(id, revoked_at, revision)| (id, (revoked_at, revision.cast_unsigned()))))
}

fn among(query: &mut QueryBuilder<Sqlite>, ids: &[String]) {
    query.push(" AND id IN (");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(id);
    }
    query.push(")");
}
