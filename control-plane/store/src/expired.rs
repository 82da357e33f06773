//! Expired keys. From the very second of their expiry they neither count towards the account's keys
//! nor hold their name. So no unique index can enforce the names: writers check them in their
//! transaction. (Writers exclude each other. In a database in which they do not, they have to lock
//! the account's row first.) A day later the keys leave the snapshot, in steps.
//!
//! A key that has left the snapshot can still be edited, and returns to it with a later expiry.

use sqlx::{FromRow, SqliteConnection};
use std::collections::HashSet;

use super::revision::{RevisionTx, run_to_completion};
use super::slots::{self, Leaving};
use super::{Key, Store, StoreError, clock, policies, to_json};

/// The number of seconds for which nodes still know an expired key: until then they refuse it as
/// `expired_key`.
const KEPT: i64 = 24 * 60 * 60;

/// The maximum number of keys that leave or return in one change.
const STEP: u32 = 1_000;

const TAKEN_NAMES: &str = "SELECT value FROM json_each(?1) \
     WHERE EXISTS (SELECT 1 FROM owned_keys WHERE account_id = ?2 AND name = value \
         AND revoked_at IS NULL AND expires_at IS NULL AND id IS NOT ?3) \
     OR EXISTS (SELECT 1 FROM owned_keys WHERE account_id = ?2 AND name = value \
         AND revoked_at IS NULL AND expires_at > ?4 AND id IS NOT ?3)";

const EXPIRED: &str = "SELECT COUNT(*) FROM owned_keys WHERE account_id = ? AND expires_at <= ? \
     AND expires_at IS NOT NULL AND slot IS NOT NULL";

impl Key {
    /// Returns whether the key is past its expiry.
    pub fn has_expired(&self, now: i64) -> bool {
        self.settings.expires_at.is_some_and(|second| second <= now)
    }
}

/// Returns those of `names` that a key of the account has at `now`, other than the key `except`.
/// The cost of a name does not depend on the number of expired keys that had it.
pub(super) async fn taken_names(
    from: &mut SqliteConnection,
    account_id: &str,
    names: &[&str],
    except: Option<&str>,
    now: i64,
) -> Result<HashSet<String>, StoreError> {
    let query = sqlx::query_scalar(TAKEN_NAMES)
        .bind(to_json(&names)?)
        .bind(account_id)
        .bind(except)
        .bind(now);
    Ok(query.fetch_all(from).await?.into_iter().collect())
}

/// Counts the keys of an account in the snapshot that have expired at `now`.
pub(super) async fn count(
    from: &mut SqliteConnection,
    account_id: &str,
    now: i64,
) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(EXPIRED)
        .bind(account_id)
        .bind(now)
        .fetch_one(from)
        .await?)
}

/// The numbers of an account's keys, as far as they are bounded.
#[derive(Debug, Clone)]
pub(super) struct KeyNumbers {
    account_id: String,
    max_keys: Option<u32>,
    /// The number of keys in the snapshot, including expired ones.
    held: i64,
    /// The number of expired keys among them. They are counted only if the account's limit is
    /// reached without that.
    expired: Option<i64>,
    /// The present time, in Unix seconds.
    now: i64,
}

impl KeyNumbers {
    /// Reads the numbers of an account at `now`, before the change touches its keys.
    pub(super) async fn read(
        change: &mut RevisionTx,
        account_id: &str,
        now: i64,
    ) -> Result<Self, StoreError> {
        const QUERY: &str = "SELECT max_keys, keys FROM account_details WHERE id = ?";
        let numbers = sqlx::query_as(QUERY)
            .bind(account_id)
            .fetch_optional(change.connection())
            .await?;
        let (max_keys, held) = numbers.ok_or(StoreError::AccountNotFound)?;
        Ok(Self {
            account_id: account_id.to_owned(),
            max_keys,
            held,
            expired: None,
            now,
        })
    }

    /// Admits one more key that has not expired. `held` means that it is in the snapshot already.
    ///
    /// # Errors
    /// [`StoreError::KeyLimit`] if the account has reached its maximum, and
    /// [`StoreError::HeldKeyLimit`] if it has twice that number with recently expired keys.
    pub(super) async fn add(
        &mut self,
        change: &mut RevisionTx,
        held: bool,
    ) -> Result<(), StoreError> {
        let Some(most) = self.max_keys else {
            return Ok(());
        };
        if (held || self.held >= i64::from(most)) && self.live(change).await? >= i64::from(most) {
            return Err(StoreError::KeyLimit(most));
        }
        if held {
            self.expired = self.expired.map(|expired| expired.saturating_sub(1));
        } else if self.held >= i64::from(most).saturating_mul(2) {
            return Err(StoreError::HeldKeyLimit(most));
        } else {
            self.held = self.held.saturating_add(1);
        }
        Ok(())
    }

    /// Returns the number of keys that [`add`](Self::add) would admit, if that is bounded.
    pub(super) async fn room(
        &mut self,
        change: &mut RevisionTx,
    ) -> Result<Option<u64>, StoreError> {
        let Some(most) = self.max_keys.map(i64::from) else {
            return Ok(None);
        };
        let room = most.saturating_sub(self.live(change).await?);
        let held = most.saturating_mul(2).saturating_sub(self.held);
        Ok(Some(u64::try_from(room.min(held)).unwrap_or_default()))
    }

    /// Returns the number of keys that have not expired.
    async fn live(&mut self, change: &mut RevisionTx) -> Result<i64, StoreError> {
        let expired = match self.expired {
            Some(expired) => expired,
            None => count(change.connection(), &self.account_id, self.now).await?,
        };
        self.expired = Some(expired);
        Ok(self.held.saturating_sub(expired))
    }
}

/// A key's place in the snapshot.
#[derive(Debug, Clone, Copy, FromRow)]
pub(super) struct Held {
    pub(super) seq: i64,
    pub(super) policy_id: i64,
    /// The revision of the key's last change.
    pub(super) revision: i64,
    /// The number of its newest secret.
    pub(super) secret: u32,
    slot: Option<u32>,
}

impl Held {
    pub(super) async fn find(change: &mut RevisionTx, id: &str) -> Result<Self, StoreError> {
        let query =
            sqlx::query_as("SELECT seq, policy_id, revision, secret, slot FROM keys WHERE id = ?")
                .bind(id);
        Ok(query.fetch_one(change.connection()).await?)
    }

    /// Admits `after` as a replacement of `before`, if its name or expiry differs: its name must be
    /// unique while it has not expired, and if `before` had expired, the account must have room for
    /// it.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`], [`StoreError::KeyLimit`] and [`StoreError::HeldKeyLimit`].
    pub(super) async fn admit(
        self,
        change: &mut RevisionTx,
        account_id: &str,
        (before, after): (&Key, &Key),
        now: i64,
    ) -> Result<(), StoreError> {
        let (was, is) = (&before.settings, &after.settings);
        if after.has_expired(now) || (&was.name, was.expires_at) == (&is.name, is.expires_at) {
            return Ok(());
        }
        let names = [is.name.as_str()];
        if !taken_names(
            change.connection(),
            account_id,
            &names,
            Some(&after.id),
            now,
        )
        .await?
        .is_empty()
        {
            return Err(StoreError::NameTaken);
        }
        if before.has_expired(now) {
            KeyNumbers::read(change, account_id, now)
                .await?
                .add(change, self.slot.is_some())
                .await?;
            end_old_secret(change, self.seq, was.expires_at).await?;
        }
        Ok(())
    }

    /// Puts a key that has left the snapshot back into it, unless it is still expired.
    pub(super) async fn return_to_snapshot(
        self,
        change: &mut RevisionTx,
        policy_id: i64,
        after: &Key,
        now: i64,
    ) -> Result<(), StoreError> {
        if self.slot.is_some() || after.has_expired(now) {
            return Ok(());
        }
        policies::reuse(change, policy_id).await?;
        slots::take_again(change, self.seq, now).await
    }
}

/// Ends a key's old secret at the key's previous expiry: it stays refused although the key is valid
/// again.
async fn end_old_secret(
    change: &mut RevisionTx,
    seq: i64,
    expired_at: Option<i64>,
) -> Result<(), StoreError> {
    const END: &str = "UPDATE old_secrets SET ends_at = MIN(ends_at, ?), revision = ? WHERE key_seq = ? AND NOT removed";
    let query = sqlx::query(END)
        .bind(expired_at)
        .bind(change.revision())
        .bind(seq);
    query.execute(change.connection()).await?;
    Ok(())
}

impl Store {
    /// Removes keys from the snapshot that expired a day ago, and puts keys back that have left it
    /// and have not expired, as after a wrong clock. Each step is a separate change.
    pub async fn sweep_expired_keys(&self, now: i64) -> Result<(), StoreError> {
        // A wrong clock that is ahead must not remove keys from nodes. A clock that is trusted is
        // ahead by less than a day.
        if clock::trusts(&self.0.readers, now).await? {
            while self.leaving(now).await? {
                self.step(now, Step::Out).await?;
            }
        }
        while self.returning(now).await? {
            self.step(now, Step::Back).await?;
        }
        Ok(())
    }

    async fn leaving(&self, now: i64) -> Result<bool, StoreError> {
        const QUERY: &str = "SELECT EXISTS (SELECT 1 FROM keys \
             WHERE slot IS NOT NULL AND expires_at IS NOT NULL AND expires_at <= ?)";
        Ok(sqlx::query_scalar(QUERY)
            .bind(now.saturating_sub(KEPT))
            .fetch_one(&self.0.readers)
            .await?)
    }

    async fn returning(&self, now: i64) -> Result<bool, StoreError> {
        const QUERY: &str = "SELECT EXISTS (SELECT 1 FROM keys WHERE slot IS NULL AND revoked_at IS NULL AND expires_at > ?)";
        Ok(sqlx::query_scalar(QUERY)
            .bind(now)
            .fetch_one(&self.0.readers)
            .await?)
    }

    async fn step(&self, now: i64, step: Step) -> Result<(), StoreError> {
        let store = self.clone();
        run_to_completion(async move {
            let mut change = RevisionTx::begin(&store).await?;
            match step {
                Step::Out => take_out(&mut change, now).await?,
                Step::Back => put_back(&mut change, now).await?,
            }
            change.commit().await.map(drop)
        })
        .await
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Out,
    Back,
}

async fn take_out(change: &mut RevisionTx, now: i64) -> Result<(), StoreError> {
    const STAMP: &str = "UPDATE keys SET revision = ? WHERE seq IN (SELECT seq FROM keys \
         WHERE slot IS NOT NULL AND expires_at IS NOT NULL AND expires_at <= ? LIMIT ?) RETURNING policy_id";
    let stamp = sqlx::query_scalar(STAMP)
        .bind(change.revision())
        .bind(now.saturating_sub(KEPT))
        .bind(STEP);
    let policies: HashSet<i64> = stamp
        .fetch_all(change.connection())
        .await?
        .into_iter()
        .collect();
    slots::free(change, Leaving::Stamped, now).await?;
    policies::retire(change, policies).await
}

async fn put_back(change: &mut RevisionTx, now: i64) -> Result<(), StoreError> {
    const KEYS: &str = "SELECT seq, policy_id FROM keys \
         WHERE slot IS NULL AND revoked_at IS NULL AND expires_at > ? LIMIT ?";
    let keys: Vec<(i64, i64)> = sqlx::query_as(KEYS)
        .bind(now)
        .bind(STEP)
        .fetch_all(change.connection())
        .await?;
    for (seq, policy_id) in keys {
        policies::reuse(change, policy_id).await?;
        slots::take_again(change, seq, now).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;
    use sqlx::AssertSqlSafe;

    #[tokio::test]
    async fn names_and_expired_keys_use_an_index() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        for (query, steps) in [
            (
                EXPIRED,
                &[
                    "SEARCH keys USING COVERING INDEX keys_held_expiry (account_id=? AND expires_at>? AND expires_at<?)",
                ][..],
            ),
            (
                TAKEN_NAMES,
                &[
                    "SEARCH keys USING INDEX keys_live_name (account_id=? AND name=? AND expires_at=?)",
                    "SEARCH keys USING INDEX keys_live_name (account_id=? AND name=? AND expires_at>?)",
                ],
            ),
        ] {
            let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
                .fetch_all(&store.0.readers)
                .await
                .unwrap();
            let searches: Vec<_> = plan
                .iter()
                .map(|(.., step)| step.as_str())
                .filter(|step| step.contains(" keys "))
                .collect();
            assert_eq!(searches, steps);
        }
    }
}
