//! The tags of revisions: each revision has a random tag, and a node continues from a revision only
//! if it names both.
//!
//! A database that was reset to an earlier state uses the same revisions again, with other tags.

use latchkey_model::random;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::{Epoch, Store, StoreError};

/// The random tag that distinguishes a revision from another one with the same number.
pub type Tag = [u8; 16];

/// The number of revisions whose tags are kept.
const KEPT: i64 = 100_000;

/// A revision with its tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number.
    pub revision: u64,
    /// The revision's tag.
    pub tag: Tag,
}

/// The result of looking up a revision and a tag that a node names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    /// The revision is part of this history.
    Known,
    /// It is older than what is kept.
    Pruned,
    /// It belongs to another history, or to a lost part of this one.
    Unknown,
}

impl Store {
    /// Looks up a revision and its tag.
    pub async fn vouches(&self, revision: u64, tag: &Tag) -> Result<Vouched, StoreError> {
        const QUERY: &str = "SELECT (SELECT tag FROM history WHERE revision = ?1), (SELECT MIN(revision) FROM history)";
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        let row: (Option<Vec<u8>>, Option<i64>) = sqlx::query_as(QUERY)
            .bind(revision)
            .fetch_one(&self.0.readers)
            .await?;
        Ok(match row {
            (Some(kept), _) if kept == tag => Vouched::Known,
            (None, Some(oldest)) if revision < oldest => Vouched::Pruned,
            _ => Vouched::Unknown,
        })
    }
}

/// Advances the revision by one, and gives it a tag.
pub(super) async fn advance(on: &mut SqliteConnection) -> Result<Head, StoreError> {
    let revision: i64 =
        sqlx::query_scalar("UPDATE meta SET revision = revision + 1 RETURNING revision")
            .fetch_one(&mut *on)
            .await?;
    let mut tag = Tag::default();
    random::fill(&mut tag)?;
    // An existing row was left by a database that lost its newest revisions.
    sqlx::query("INSERT OR REPLACE INTO history (revision, tag) VALUES (?, ?)")
        .bind(revision)
        .bind(&tag[..])
        .execute(&mut *on)
        .await?;
    let pruned =
        sqlx::query("DELETE FROM history WHERE revision <= ?").bind(revision.saturating_sub(KEPT));
    pruned.execute(on).await?;
    Ok(Head {
        revision: revision.cast_unsigned(),
        tag,
    })
}

/// Returns whether `revision` is older than all that are kept. Revision 0, of a node without data,
/// is not pruned, because such a node has nothing to forget.
pub(super) async fn is_pruned(
    from: impl SqliteExecutor<'_>,
    revision: i64,
) -> Result<bool, StoreError> {
    let query = sqlx::query_scalar("SELECT ?1 > 0 AND ?1 < (SELECT MIN(revision) FROM history)")
        .bind(revision);
    Ok(query.fetch_one(from).await?)
}

/// Returns the newest revision with its tag. It must have one.
pub(super) async fn newest(from: impl SqliteExecutor<'_>) -> Result<Head, StoreError> {
    const QUERY: &str =
        "SELECT m.revision, h.tag FROM meta m JOIN history h ON h.revision = m.revision";
    let row: Option<(i64, Vec<u8>)> = sqlx::query_as(QUERY).fetch_optional(from).await?;
    let (revision, tag) = row.ok_or(StoreError::Damaged("the newest revision's tag"))?;
    let tag = tag
        .try_into()
        .map_err(|_| StoreError::Damaged("a revision's tag"))?;
    Ok(Head {
        revision: revision.cast_unsigned(),
        tag,
    })
}

/// Ensures that the database has an identity: its epoch, its first revision and the newest one's
/// tag. Returns the epoch, the newest revision, and whether the database was empty before.
pub(super) async fn identity(on: &mut SqliteConnection) -> Result<(Epoch, Head, bool), StoreError> {
    const META: &str =
        "INSERT INTO meta (id, epoch, revision) VALUES (1, ?, 1) ON CONFLICT (id) DO NOTHING";
    const TAG: &str = "INSERT INTO history (revision, tag) SELECT revision, ? FROM meta WHERE TRUE ON CONFLICT (revision) DO NOTHING";
    let (mut epoch, mut tag) = (Epoch::default(), Tag::default());
    random::fill(&mut epoch)?;
    random::fill(&mut tag)?;
    let created = sqlx::query(META)
        .bind(&epoch[..])
        .execute(&mut *on)
        .await?
        .rows_affected()
        > 0;
    sqlx::query(TAG).bind(&tag[..]).execute(&mut *on).await?;
    let epoch: Vec<u8> = sqlx::query_scalar("SELECT epoch FROM meta")
        .fetch_one(&mut *on)
        .await?;
    let epoch = epoch
        .try_into()
        .map_err(|_| StoreError::Damaged("the epoch"))?;
    Ok((epoch, newest(on).await?, created))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;
    use sqlx::Connection as _;

    #[tokio::test]
    async fn only_newest_revisions_keep_tags() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        let first = store.head();
        assert_eq!(
            store.vouches(first.revision, &first.tag).await.unwrap(),
            Vouched::Known
        );
        assert_eq!(
            store.vouches(first.revision, &[7; 16]).await.unwrap(),
            Vouched::Unknown
        );
        assert_eq!(
            store.vouches(first.revision + 1, &first.tag).await.unwrap(),
            Vouched::Unknown
        );
        assert_eq!(
            store.vouches(u64::MAX, &first.tag).await.unwrap(),
            Vouched::Unknown
        );

        let mut writer = store.0.writer.acquire().await.unwrap();
        sqlx::query("UPDATE meta SET revision = ?")
            .bind(KEPT)
            .execute(&mut *writer)
            .await
            .unwrap();
        let mut transaction = writer.begin().await.unwrap();
        let newest = advance(&mut transaction).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(newest.revision, KEPT.cast_unsigned() + 1);
        assert_eq!(
            store.vouches(newest.revision, &newest.tag).await.unwrap(),
            Vouched::Known
        );
        assert_eq!(
            store.vouches(first.revision, &first.tag).await.unwrap(),
            Vouched::Pruned
        );
    }
}
