//! Removes the keys of a user or an account that no longer exists.
//!
//! **The keys of a deleted owner are refused at once, however many there are, and no other caller
//! waits for it.** The deletion itself is one small transaction: it marks the user or the account,
//! and lists it among the ended owners in the record of the route rules, so that nodes refuse its
//! keys. The keys' rows follow in steps of bounded time. Each step is a separate transaction that
//! takes the removal's row first. So several control planes can share the work, and one that starts
//! continues where another one stopped. A deletion takes its first step itself: with few keys
//! nothing remains to be done.
//!
//! Until then a key's row says that it is live, so queries have to use the view `owned_keys`, or
//! [`NOT_ENDED`].

use sqlx::{FromRow, SqliteConnection, SqliteExecutor};
use std::time::{Duration, Instant};

use super::audit::{self, Event, Origin};
use super::authorized::AuthorizedTx;
use super::insert::{Columns, NewRow, insert};
use super::keys::KeyOwner;
use super::revision::{RevisionTx, run_to_completion};
use super::users;
use super::{Actor, Caller, Store, StoreError, keys, revocation};

/// The maximum number of keys that are removed, and users that are deleted, by the deletion itself.
const AT_ONCE: u32 = 200;

/// The condition on rows of `keys` that the owner still exists. Keys of a closed account are never
/// shown.
pub(super) const NOT_ENDED: &str = "keys.user_id NOT IN (SELECT subject FROM removals)";

/// A user or an account whose keys are being removed.
#[derive(FromRow)]
struct Removal {
    id: i64,
    account_id: String,
    subject: String,
    removed_at: i64,
    revision: i64,
    author_account_id: String,
    actor_kind: String,
    actor_id: Option<String>,
    actor_name: Option<String>,
    source_address: Option<String>,
    request_id: Option<String>,
}

/// A completed step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The time during which no other writer could run.
    pub took: Duration,
    /// True if there may be another step.
    pub more: bool,
}

impl Removal {
    fn owner(&self) -> KeyOwner<'_> {
        if self.subject == self.account_id {
            KeyOwner::Account(&self.subject)
        } else {
            KeyOwner::User(&self.subject)
        }
    }

    fn actor(&self) -> Result<Actor, StoreError> {
        let [id, name] =
            [&self.actor_id, &self.actor_name].map(|text| text.clone().unwrap_or_default());
        match self.actor_kind.as_str() {
            "user" => Ok(Actor::User { id, email: name }),
            "key" => Ok(Actor::Key { id, name }),
            "system" => Ok(Actor::System),
            _ => Err(StoreError::Damaged("the author of a removal")),
        }
    }

    /// Removes at most `limit` keys, and deletes as many users of an account. Returns whether there
    /// may be more.
    async fn step(
        &self,
        change: &mut RevisionTx,
        limit: u32,
        now: i64,
    ) -> Result<bool, StoreError> {
        const LEFT: &str = "UPDATE removals SET keys_left = MAX(0, keys_left - ?) WHERE id = ?";
        let keys = keys::some_of(change.connection(), self.owner(), limit).await?;
        if !keys.is_empty() {
            let live = count_live(change.connection(), &self.account_id).await?;
            let ids: Vec<_> = keys.iter().map(|key| key.id.clone()).collect();
            revocation::revoke_ended(change, &self.account_id, &ids, self.removed_at, now).await?;
            let removed =
                live.saturating_sub(count_live(change.connection(), &self.account_id).await?);
            sqlx::query(LEFT)
                .bind(removed)
                .bind(self.id)
                .execute(change.connection())
                .await?;
            let origin = Origin {
                address: self
                    .source_address
                    .as_deref()
                    .and_then(|address| address.parse().ok()),
                request_id: self.request_id.clone(),
            };
            let events: Vec<_> = keys
                .iter()
                .map(|key| Event::deleted("key.revoke", key))
                .collect();
            let (author, actor) = (&self.author_account_id, self.actor()?);
            audit::write(
                change.connection(),
                author,
                &actor,
                &origin,
                &events,
                self.removed_at,
            )
            .await?;
        }
        let users = match self.owner() {
            KeyOwner::Account(id) => {
                users::delete_some(change.connection(), id, limit, self.removed_at).await?
            }
            KeyOwner::User(_) => 0,
        };
        let more = keys.len() >= to_usize(limit) || users >= limit.into();
        if !more {
            sqlx::query("DELETE FROM removals WHERE id = ?")
                .bind(self.id)
                .execute(change.connection())
                .await?;
        }
        Ok(more)
    }
}

/// A removal that begins.
struct NewRemovalRow<'a> {
    account_id: &'a str,
    subject: &'a str,
    removed_at: i64,
    revision: i64,
    keys_left: i64,
    /// The caller who requested it.
    author: &'a Caller,
    origin: &'a Origin,
}

impl NewRow for NewRemovalRow<'_> {
    const TABLE: &'static str = "removals";

    fn columns(&self, columns: &mut Columns) -> Result<(), StoreError> {
        let (actor, address) = (&self.author.actor, self.origin.address);
        columns
            .set("account_id", self.account_id)?
            .set("subject", self.subject)?
            .set("removed_at", self.removed_at)?
            .set("revision", self.revision)?
            .set("keys_left", self.keys_left)?
            .set("author_account_id", &self.author.account_id)?
            .set("actor_kind", actor.kind())?
            .set("actor_id", actor.id())?
            .set("actor_name", actor.name())?
            .set("source_address", address.map(|address| address.to_string()))?
            .set("request_id", self.origin.request_id.as_ref())?;
        Ok(())
    }
}

impl AuthorizedTx<RevisionTx> {
    /// Starts to remove the keys of a user or an account that no longer exists as of this change.
    /// Returns the number of live keys that a user had.
    pub(super) async fn remove_keys_of(
        &mut self,
        account_id: &str,
        owner: KeyOwner<'_>,
    ) -> Result<u64, StoreError> {
        const OF_USER: &str =
            "SELECT COUNT(*), COUNT(slot) FROM keys WHERE user_id = ? AND revoked_at IS NULL";
        const OF_ACCOUNT: &str = "SELECT 0, keys FROM account_details WHERE id = ?";
        let (query, subject) = match owner {
            KeyOwner::User(id) => (OF_USER, id),
            KeyOwner::Account(id) => (OF_ACCOUNT, id),
        };
        let counted = sqlx::query_as(query)
            .bind(subject)
            .fetch_one(self.tx.connection())
            .await?;
        let (keys, left): (i64, i64) = counted;
        let row = NewRemovalRow {
            account_id,
            subject,
            removed_at: self.now,
            revision: self.tx.revision(),
            keys_left: left,
            author: &self.caller,
            origin: &self.origin,
        };
        insert(self.tx.connection(), &[row]).await?;
        let removal = find(self.tx.connection(), Some(subject)).await?;
        let removal = removal.ok_or(StoreError::Damaged("a removal that was written"))?;
        if removal.step(&mut self.tx, AT_ONCE, self.now).await? {
            stamp_ended_owners(&mut self.tx).await?;
        }
        Ok(keys.cast_unsigned())
    }
}

impl Store {
    /// Returns whether keys are to be removed.
    pub async fn has_removals(&self) -> Result<bool, StoreError> {
        let query = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM removals)");
        Ok(query.fetch_one(&self.0.readers).await?)
    }

    /// Takes the next step of the oldest removal, for at most `limit` keys.
    pub async fn continue_removal(&self, limit: u32, now: i64) -> Result<Step, StoreError> {
        let store = self.clone();
        run_to_completion(async move {
            let mut change = RevisionTx::begin(&store).await?;
            let began = Instant::now();
            let Some(removal) = find(change.connection(), None).await? else {
                return Ok(Step {
                    took: began.elapsed(),
                    more: false,
                });
            };
            if !removal.step(&mut change, limit, now).await? {
                stamp_ended_owners(&mut change).await?;
                tracing::info!(
                    removed = removal.subject,
                    since = removal.revision,
                    "all keys of an owner are removed"
                );
            }
            change.commit().await?;
            Ok(Step {
                took: began.elapsed(),
                more: true,
            })
        })
        .await
    }
}

/// Returns the removal of `subject`, or the oldest one.
async fn find(
    from: &mut SqliteConnection,
    subject: Option<&str>,
) -> Result<Option<Removal>, StoreError> {
    const QUERY: &str = "SELECT id, account_id, subject, removed_at, revision, author_account_id, actor_kind, actor_id, \
         actor_name, source_address, request_id FROM removals WHERE ?1 IS NULL OR subject = ?1 ORDER BY id LIMIT 1";
    Ok(sqlx::query_as(QUERY)
        .bind(subject)
        .fetch_optional(from)
        .await?)
}

/// Returns the revision since which keys are refused that are not all removed yet.
pub(super) async fn oldest(from: impl SqliteExecutor<'_>) -> Result<Option<u64>, StoreError> {
    let oldest: Option<i64> = sqlx::query_scalar("SELECT MIN(revision) FROM removals")
        .fetch_one(from)
        .await?;
    Ok(oldest.map(i64::cast_unsigned))
}

/// Marks the list of ended owners as changed, so that nodes receive it.
async fn stamp_ended_owners(change: &mut RevisionTx) -> Result<(), StoreError> {
    let revision = change.revision();
    sqlx::query("UPDATE routes SET revision = ?")
        .bind(revision)
        .execute(change.connection())
        .await?;
    Ok(())
}

async fn count_live(from: &mut SqliteConnection, account_id: &str) -> Result<i64, StoreError> {
    let query = sqlx::query_scalar("SELECT live_keys FROM accounts WHERE id = ?").bind(account_id);
    Ok(query.fetch_one(from).await?)
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
