//! The runs of control planes on this database: what a start knows about earlier runs.
//!
//! While a control plane runs, it notes the time each second, as long as every node that it serves
//! is recorded. If the last note is older than a few seconds, a start does not know what happened
//! since: the database may have been reset to an earlier state, and nodes may have connected that
//! are not in it. Then unknown nodes are counted for a time.
//!
//! The notes also show whether the clock was set: a steady clock advances as the uptime does, which
//! cannot be set.

use latchkey_model::random::{self, NoRandomness};
use sha2::{Digest as _, Sha256};
use sqlx::{SqliteConnection, SqliteExecutor};

use super::{NodeRow, Store, StoreError, nodes};

/// The number of seconds by which the clock may deviate from the uptime between two notes, as a
/// clock that is being slewed does.
const STEADY_WITHIN: i64 = 5;

/// The number of seconds by which a start may find the clock ahead of the last note, because no
/// control plane ran since.
const RESTART_WITHIN: i64 = 60 * 60;

/// The maximum age of the last note, in seconds.
const NOTED_WITHIN: i64 = 5;

/// The maximum age of the last note for the clock to count as steady, in seconds: a busy database
/// delays notes.
const NOTE_IS_RECENT: i64 = 60;

/// A number that exceeds the number of keys and policies created between two states of the
/// database. Nodes find a key's counters by its number, so numbers that were assigned and lost must
/// not be assigned again.
const NUMBERS_SKIPPED: i64 = 1_000_000;

/// The number of random bits that are skipped in addition, so that two starts from the same state
/// of the database do not assign the same numbers. There are enough numbers for 100,000 starts.
const RANDOM_BITS: u32 = 46;

/// The prefix by which the table marks a node of version 0.1 until the first start.
const INSTANCE: &str = "instance:";

/// The state at the end of the last run.
#[derive(Debug)]
pub struct Past {
    /// The nodes that were known at the end of the last run.
    pub nodes: Vec<NodeRow>,
    /// The number of seconds that control planes have run on this database.
    pub uptime: i64,
    /// The uptime until which nodes that are not among `nodes` may serve.
    pub unknown_until: Option<i64>,
}

/// The note that a control plane is running.
#[derive(Debug, Clone, Copy)]
pub struct Note {
    /// The present time, in Unix seconds.
    pub now: i64,
    /// The number of seconds that control planes have run on this database.
    pub uptime: i64,
    /// The uptime until which unknown nodes may serve.
    pub unknown_until: Option<i64>,
}

impl Store {
    /// Begins to serve nodes at `now`. `counts_for` returns the number of seconds for which a lost
    /// node counts.
    pub async fn begin_run(
        &self,
        now: i64,
        grace: i64,
        counts_for: impl Fn(&NodeRow) -> i64,
    ) -> Result<Past, StoreError> {
        let mut transaction = self.0.begin().await?;
        name_instances(&mut transaction).await?;
        if !self.0.created {
            skip_numbers(&mut transaction, numbers_to_skip()?).await?;
        }
        let nodes = nodes::all(&mut *transaction).await?;
        let (uptime, noted_at, kept, reported): (i64, Option<i64>, Option<i64>, i64) =
            sqlx::query_as(
                "SELECT uptime_seconds, noted_at, unknown_until, longest_limit FROM meta",
            )
            .fetch_one(&mut *transaction)
            .await?;
        let is_known = |noted: i64| (noted..=noted.saturating_add(NOTED_WITHIN)).contains(&now);
        let unknown = noted_at.is_some_and(|noted| !is_known(noted)).then(|| {
            let longest = nodes
                .iter()
                .map(counts_for)
                .max()
                .unwrap_or_default()
                .max(reported)
                .max(grace);
            uptime.saturating_add(longest)
        });
        let unknown_until = unknown.max(kept).filter(|until| *until > uptime);
        sqlx::query("UPDATE meta SET unknown_until = ?")
            .bind(unknown_until)
            .execute(&mut *transaction)
            .await?;
        write(
            &mut transaction,
            Note {
                now,
                uptime,
                unknown_until,
            },
            RESTART_WITHIN,
        )
        .await?;
        transaction.commit().await?;
        self.0.health.noted();
        Ok(Past {
            nodes,
            uptime,
            unknown_until,
        })
    }

    /// Writes the note that a control plane is running, and that all nodes it serves are recorded.
    pub async fn note(&self, note: Note) -> Result<(), StoreError> {
        let written: Result<(), StoreError> = async {
            Ok(write(&mut *self.0.writer()?.acquire().await?, note, STEADY_WITHIN).await?)
        }
        .await;
        // This is also how the readiness probe learns whether the database can be written.
        match &written {
            Ok(()) => self.0.health.noted(),
            Err(error) => self.0.health.record(Some(error)),
        }
        written
    }
}

/// Writes a note. Unknown nodes that were forgotten since the last note stay forgotten. The clock
/// still counts as steady if it has advanced as the uptime did, or by at most `ahead` seconds more.
async fn write(to: &mut SqliteConnection, note: Note, ahead: i64) -> Result<(), sqlx::Error> {
    const WRITE: &str = "UPDATE meta SET noted_at = ?1, uptime_seconds = ?2, \
         unknown_until = CASE WHEN unknown_until IS NOT NULL THEN ?3 END, \
         clock_steady_since = CASE WHEN (?1 - noted_at) - (?2 - uptime_seconds) BETWEEN ?4 AND ?5 \
         THEN clock_steady_since ELSE ?2 END";
    let query = sqlx::query(WRITE)
        .bind(note.now)
        .bind(note.uptime)
        .bind(note.unknown_until);
    query.bind(-STEADY_WITHIN).bind(ahead).execute(to).await?;
    Ok(())
}

/// Returns whether the clock has run steadily for `seconds` of uptime, according to the notes, and
/// still does.
pub(super) async fn is_steady(
    from: impl SqliteExecutor<'_>,
    seconds: i64,
    now: i64,
) -> Result<bool, StoreError> {
    const QUERY: &str = "SELECT uptime_seconds - clock_steady_since >= ?1 AND noted_at IS NOT NULL \
         AND ?2 - noted_at BETWEEN ?3 AND ?4 FROM meta";
    let query = sqlx::query_scalar(QUERY)
        .bind(seconds)
        .bind(now)
        .bind(-STEADY_WITHIN)
        .bind(NOTE_IS_RECENT);
    Ok(query.fetch_one(from).await?)
}

/// Returns how many numbers a start skips.
pub(super) fn numbers_to_skip() -> Result<i64, NoRandomness> {
    let mut drawn = [0; 8];
    random::fill(&mut drawn)?;
    let drawn = u64::from_le_bytes(drawn) >> (u64::BITS - RANDOM_BITS);
    Ok(NUMBERS_SKIPPED.saturating_add(drawn.cast_signed()))
}

/// Makes sure that keys and policies get numbers from now on that were never assigned, even if rows
/// were lost.
pub(super) async fn skip_numbers(
    on: &mut SqliteConnection,
    skipped: i64,
) -> Result<(), sqlx::Error> {
    const NUMBERED: &str = "INSERT INTO sqlite_sequence (name, seq) \
         SELECT ?1, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)";
    const SKIP: &str = "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ?";
    for table in ["keys", "policies"] {
        sqlx::query(NUMBERED).bind(table).execute(&mut *on).await?;
        sqlx::query(SKIP)
            .bind(skipped)
            .bind(table)
            .execute(&mut *on)
            .await?;
    }
    Ok(())
}

/// Returns the hash that replaces the secret of a node of version 0.1, in hexadecimal.
pub fn instance_hash(instance: &str) -> String {
    hex::encode(Sha256::digest(format!("{INSTANCE}{instance}")))
}

/// Hashes the names of nodes that the migration could not hash.
pub(super) async fn name_instances(on: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    const UNNAMED: &str = "SELECT DISTINCT instance FROM nodes WHERE secret_hash LIKE 'instance:%'";
    let unnamed: Vec<String> = sqlx::query_scalar(UNNAMED).fetch_all(&mut *on).await?;
    for instance in unnamed {
        let query =
            sqlx::query("UPDATE OR REPLACE nodes SET secret_hash = ? WHERE secret_hash = ?");
        let former = format!("{INSTANCE}{instance}");
        query
            .bind(instance_hash(&instance))
            .bind(former)
            .execute(&mut *on)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenMode;

    const DAY: i64 = 86_400;

    #[tokio::test]
    async fn clock_is_steady_following_uptime() {
        // Each note is given as the seconds that the clock and the uptime have advanced since the
        // one before.
        for (notes, steady) in [
            (&[(DAY, DAY)] as &[_], true),
            (&[(DAY - 1, DAY - 1)], false),
            (&[(5, 0), (DAY, DAY)], true),
            (&[(DAY / 2, DAY / 2), (6, 0), (DAY / 2, DAY / 2)], false),
            (&[(DAY / 2, DAY / 2), (-6, 0), (DAY / 2, DAY / 2)], false),
            (&[(DAY / 2, DAY / 2), (30 * DAY, 1), (DAY, DAY)], true),
            (&[(30 * DAY, 1)], false),
        ] {
            let (store, _directory) = store().await;
            let (mut now, mut uptime) = (1_000, 0);
            store.begin_run(now, 0, |_| 0).await.unwrap();
            for (moved, ran) in notes {
                (now, uptime) = (now + moved, uptime + ran);
                store
                    .note(Note {
                        now,
                        uptime,
                        unknown_until: None,
                    })
                    .await
                    .unwrap();
            }
            assert_eq!(
                is_steady(&store.0.readers, DAY, now).await.unwrap(),
                steady,
                "{notes:?}"
            );
            for other in [now - 6, now + NOTE_IS_RECENT + 1] {
                assert!(
                    !is_steady(&store.0.readers, DAY, other).await.unwrap(),
                    "{notes:?} {other}"
                );
            }
        }
    }

    #[tokio::test]
    async fn clock_stays_steady_over_a_short_stop() {
        for (stopped, steady) in [
            (0, true),
            (3_600, true),
            (3_601, false),
            (-6, false),
            (DAY, false),
        ] {
            let (store, _directory) = store().await;
            store.begin_run(1_000, 0, |_| 0).await.unwrap();
            store
                .note(Note {
                    now: 1_000 + DAY,
                    uptime: DAY,
                    unknown_until: None,
                })
                .await
                .unwrap();
            let now = 1_000 + DAY + stopped;
            store.begin_run(now, 0, |_| 0).await.unwrap();
            assert_eq!(
                is_steady(&store.0.readers, DAY, now).await.unwrap(),
                steady,
                "{stopped}"
            );
        }
    }

    async fn store() -> (Store, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(
            &directory.path().join("latchkey.db"),
            OpenMode::CreateIfMissing,
        )
        .await
        .unwrap();
        (store, directory)
    }
}
