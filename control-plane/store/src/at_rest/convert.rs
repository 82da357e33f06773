//! Encrypts the digests of keys that were imported before there was an at-rest key: once, at the
//! first start with one.

use latchkey_policy::key::KeyDigest;
use sqlx::FromRow;
use tracing::{info, warn};

use super::record_use;
use crate::{Store, StoreError};

/// The number of rows in one transaction.
const STEP: u32 = 5_000;

/// An imported secret whose digest is not encrypted.
#[derive(FromRow)]
struct PlainRow {
    seq: i64,
    id: String,
    digest: Vec<u8>,
}

/// Encrypts the digests of all imported keys, unless that is done, and rewrites the database's
/// file, so that no page keeps a digest that is no longer in use. If it is interrupted, the next
/// start continues with the rest.
pub(crate) async fn encrypt_earlier_imports(store: &Store) -> Result<(), StoreError> {
    const DONE: &str = "SELECT imports_sealed FROM meta";
    const PLAIN: &str = "SELECT EXISTS (SELECT 1 FROM keys WHERE imported = TRUE AND sealed IS NULL) \
         OR EXISTS (SELECT 1 FROM old_secrets WHERE imported = TRUE AND sealed IS NULL)";
    if sqlx::query_scalar(DONE).fetch_one(&store.0.writer).await? {
        return Ok(());
    }
    if !store.0.at_rest.is_available() {
        if sqlx::query_scalar(PLAIN).fetch_one(&store.0.writer).await? {
            warn!(
                "the database has plain SHA-256 digests of imported keys, and no at-rest key is \
                 set to encrypt them: {}",
                crate::at_rest::HOW_TO
            );
        }
        return Ok(());
    }
    let keys = store.encrypt_keys().await?;
    let old = store.encrypt_old_secrets().await?;
    let tombstones = store.key_tombstones().await?;
    if keys.saturating_add(old).saturating_add(tombstones) > 0 {
        info!(
            keys,
            old_secrets = old,
            tombstones,
            "the digests of imported keys are now encrypted"
        );
        if let Err(error) = store.rewrite_file().await {
            warn!(%error, "free pages of the database may still contain plain digests: run VACUUM \
            on it while the control plane is stopped");
        }
    }
    sqlx::query("UPDATE meta SET imports_sealed = TRUE")
        .execute(&store.0.writer)
        .await?;
    Ok(())
}

impl Store {
    async fn encrypt_keys(&self) -> Result<usize, StoreError> {
        const FIND: &str =
            "SELECT seq, id, digest FROM keys WHERE imported = TRUE AND sealed IS NULL LIMIT ?";
        const SET: &str = "UPDATE keys SET digest = ?, sealed = ? WHERE seq = ? AND digest = ?";
        self.encrypt_rows(FIND, SET).await
    }

    async fn encrypt_old_secrets(&self) -> Result<usize, StoreError> {
        const FIND: &str = "SELECT k.seq, k.id, o.digest FROM old_secrets o JOIN keys k ON k.seq = o.key_seq \
             WHERE o.imported = TRUE AND o.sealed IS NULL LIMIT ?";
        const SET: &str =
            "UPDATE old_secrets SET digest = ?, sealed = ? WHERE key_seq = ? AND digest = ?";
        self.encrypt_rows(FIND, SET).await
    }

    async fn encrypt_rows(
        &self,
        find: &'static str,
        set: &'static str,
    ) -> Result<usize, StoreError> {
        let mut all = 0_usize;
        loop {
            let mut transaction = self.0.begin().await?;
            let rows: Vec<PlainRow> = sqlx::query_as(find)
                .bind(STEP)
                .fetch_all(&mut *transaction)
                .await?;
            if rows.is_empty() {
                return Ok(all);
            }
            record_use(&mut transaction).await?;
            for PlainRow { seq, id, digest } in &rows {
                let plain = self.0.at_rest.open_digest(digest, None, id)?;
                let stored = self.0.at_rest.seal(&plain, id)?;
                let set = sqlx::query(set)
                    .bind(&stored.digest[..])
                    .bind(stored.sealed)
                    .bind(seq)
                    .bind(digest);
                set.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            all = all.saturating_add(rows.len());
        }
    }

    /// Replaces the digests of all tombstones by their HMACs, because it is not known which of them
    /// belong to imported keys.
    async fn key_tombstones(&self) -> Result<usize, StoreError> {
        const FIND: &str =
            "SELECT digest FROM tombstones WHERE NOT keyed AND digest > ? ORDER BY digest LIMIT ?";
        const DELETE: &str = "DELETE FROM tombstones WHERE digest = ?";
        const INSERT: &str = "INSERT INTO tombstones (digest, keyed) VALUES (?, TRUE) ON CONFLICT (digest) DO NOTHING";
        let (mut all, mut last) = (0_usize, Vec::new());
        loop {
            let mut transaction = self.0.begin().await?;
            let rows: Vec<Vec<u8>> = sqlx::query_scalar(FIND)
                .bind(&last)
                .bind(STEP)
                .fetch_all(&mut *transaction)
                .await?;
            let Some(newest) = rows.last() else {
                return Ok(all);
            };
            last.clone_from(newest);
            record_use(&mut transaction).await?;
            for digest in &rows {
                let plain: [u8; KeyDigest::LEN] = digest
                    .as_slice()
                    .try_into()
                    .map_err(|_| StoreError::Damaged("a digest"))?;
                let [_, keyed] = self.0.at_rest.forms(&KeyDigest(plain));
                sqlx::query(DELETE)
                    .bind(digest)
                    .execute(&mut *transaction)
                    .await?;
                sqlx::query(INSERT)
                    .bind(&keyed[..])
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await?;
            all = all.saturating_add(rows.len());
        }
    }

    /// Rewrites the database's file without unused pages, and empties the write-ahead log.
    async fn rewrite_file(&self) -> Result<(), StoreError> {
        let mut writer = self.0.writer()?.acquire().await?;
        sqlx::query("VACUUM").execute(&mut *writer).await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut *writer)
            .await?;
        Ok(())
    }
}
