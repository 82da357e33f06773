//! Deletes the details of revoked keys and old secrets after a time, in steps that do not delay
//! other writers for long.
//!
//! **A tombstone remains of each secret**: its digest, or for an imported one the digest's HMAC, so
//! that it is never accepted again. Nodes cannot learn from a deleted row what to forget. So the
//! history is cut with it: a node that holds an older revision than the newest removal whose row is
//! deleted gets a whole snapshot.

use sqlx::SqliteConnection;
use std::collections::HashSet;

use super::{Store, StoreError, clock, to_json, usage};

/// The number of keys or secrets in one step.
const STEP: u32 = 250;

impl Store {
    /// Deletes the details of keys that have been revoked for `kept` seconds, and of secrets that
    /// ended as long ago. With a clock that is not trusted it deletes nothing.
    pub async fn clean_up_revoked(&self, now: i64, kept: i64) -> Result<(), StoreError> {
        if !clock::trusts(&self.0.readers, now).await? {
            return Ok(());
        }
        let before = now.saturating_sub(kept);
        while self.bury(before, What::Keys).await? {}
        while self.bury(before, What::OldSecrets).await? {}
        Ok(())
    }

    /// Takes one step, and returns whether there may be another one.
    async fn bury(&self, before: i64, what: What) -> Result<bool, StoreError> {
        let mut transaction = self.0.begin().await?;
        let buried = match what {
            What::Keys => keys(&mut transaction, before).await?,
            What::OldSecrets => old_secrets(&mut transaction, before).await?,
        };
        if let Some(revision) = buried.newest {
            // The newest revision of all stays: its tag is needed.
            sqlx::query("DELETE FROM history WHERE revision < ?")
                .bind(revision)
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(buried.more)
    }
}

/// The kind of rows that a step deletes.
#[derive(Debug, Clone, Copy)]
enum What {
    Keys,
    OldSecrets,
}

/// The rows that a step has deleted.
struct Buried {
    /// The newest revision among the deleted rows.
    newest: Option<i64>,
    more: bool,
}

/// Deletes keys with all of their secrets, and the policies that no other key has.
async fn keys(on: &mut SqliteConnection, before: i64) -> Result<Buried, StoreError> {
    const FIND: &str = "SELECT seq, policy_id, revision FROM keys WHERE revoked_at < ? ORDER BY revoked_at LIMIT ?";
    const CURRENT: &str = "INSERT INTO tombstones (digest, keyed) SELECT digest, sealed IS NOT NULL FROM keys \
         WHERE seq IN (SELECT value FROM json_each(?)) ON CONFLICT (digest) DO NOTHING";
    const OLD: &str = "INSERT INTO tombstones (digest, keyed) SELECT digest, sealed IS NOT NULL FROM old_secrets \
         WHERE key_seq IN (SELECT value FROM json_each(?)) ON CONFLICT (digest) DO NOTHING";
    const DELETE_OLD: &str = "DELETE FROM old_secrets WHERE key_seq IN (SELECT value FROM json_each(?)) RETURNING revision";
    const DELETE: &str = "DELETE FROM keys WHERE seq IN (SELECT value FROM json_each(?))";
    const DELETE_POLICIES: &str = "DELETE FROM policies WHERE id IN (SELECT value FROM json_each(?)) \
         AND NOT EXISTS (SELECT 1 FROM keys WHERE policy_id = policies.id) RETURNING revision";
    let found: Vec<(i64, i64, i64)> = sqlx::query_as(FIND)
        .bind(before)
        .bind(STEP)
        .fetch_all(&mut *on)
        .await?;
    let seqs: Vec<_> = found.iter().map(|(seq, ..)| *seq).collect();
    let policies: HashSet<_> = found.iter().map(|(_, policy, _)| *policy).collect();
    let mut revisions: Vec<_> = found.iter().map(|(.., revision)| *revision).collect();
    let json = to_json(&seqs)?;
    for statement in [CURRENT, OLD] {
        sqlx::query(statement).bind(&json).execute(&mut *on).await?;
    }
    revisions.extend(revisions_of(&mut *on, DELETE_OLD, &json).await?);
    for seq in &seqs {
        usage::forget(&mut *on, *seq).await?;
    }
    sqlx::query(DELETE).bind(&json).execute(&mut *on).await?;
    revisions.extend(revisions_of(&mut *on, DELETE_POLICIES, &to_json(&policies)?).await?);
    Ok(Buried {
        newest: revisions.into_iter().max(),
        more: seqs.len() >= limit(),
    })
}

/// Deletes old secrets of keys.
async fn old_secrets(on: &mut SqliteConnection, before: i64) -> Result<Buried, StoreError> {
    const FIND: &str = "SELECT hex(digest) FROM old_secrets WHERE removed AND ends_at < ? ORDER BY ends_at LIMIT ?";
    const BURY: &str = "INSERT INTO tombstones (digest, keyed) SELECT digest, sealed IS NOT NULL FROM old_secrets \
         WHERE digest IN (SELECT unhex(value) FROM json_each(?)) ON CONFLICT (digest) DO NOTHING";
    const DELETE: &str = "DELETE FROM old_secrets WHERE digest IN (SELECT unhex(value) FROM json_each(?)) RETURNING revision";
    let found: Vec<String> = sqlx::query_scalar(FIND)
        .bind(before)
        .bind(STEP)
        .fetch_all(&mut *on)
        .await?;
    let json = to_json(&found)?;
    sqlx::query(BURY).bind(&json).execute(&mut *on).await?;
    let revisions = revisions_of(&mut *on, DELETE, &json).await?;
    Ok(Buried {
        newest: revisions.into_iter().max(),
        more: found.len() >= limit(),
    })
}

async fn revisions_of(
    on: &mut SqliteConnection,
    statement: &'static str,
    json: &str,
) -> Result<Vec<i64>, StoreError> {
    Ok(sqlx::query_scalar(statement)
        .bind(json)
        .fetch_all(on)
        .await?)
}

fn limit() -> usize {
    usize::try_from(STEP).unwrap_or(usize::MAX)
}
