//! Tests making and restoring backups.

use crate::harness::{PASSWORD, Plane, START};
use latchkey_store::backup::{Backup, BackupError, Restored, backup, restore};
use latchkey_store::{OpenMode, Store};
use reqwest::StatusCode;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

async fn opened(path: &Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(path))
        .await
        .unwrap()
}

async fn number(pool: &SqlitePool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// Returns the files in the database's directory, except those of the database.
fn others(database: &Path) -> BTreeSet<String> {
    let names = fs::read_dir(database.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names
        .filter(|name| {
            !["latchkey.db", "-wal", "-shm", ".lock"]
                .iter()
                .any(|end| name.ends_with(end))
        })
        .collect()
}

fn beside(plane: &Plane, name: &str) -> PathBuf {
    plane.database().with_file_name(name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_under_writes_is_consistent() {
    let plane = Plane::start().await;
    let account = plane.owner().await.0.clone();
    let mut sizes = BTreeSet::new();
    for round in 0..5 {
        let file = beside(&plane, &format!("{round}.db"));
        let database = plane.database();
        let copy = tokio::spawn({
            let file = file.clone();
            async move { backup(&database, &file).await.unwrap() }
        });
        // Each revision adds or removes two keys, so every revision has an even number of keys.
        while !copy.is_finished() {
            let made = plane
                .create_keys(&format!("{round}-{}", plane.store().revision()), 2)
                .await;
            if plane.store().revision() % 3 == 0 {
                let ids: Vec<_> = made.into_iter().map(|(_, id)| id).collect();
                plane
                    .store()
                    .revoke_keys(&account, &ids, START)
                    .await
                    .unwrap();
            }
        }
        let Backup { revision, bytes } = copy.await.unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), bytes);
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let pool = opened(&file).await;
        assert_eq!(
            number(&pool, "SELECT revision FROM meta").await,
            i64::try_from(revision).unwrap()
        );
        assert_eq!(
            number(&pool, "SELECT COALESCE(MAX(revision), 1) FROM keys").await,
            i64::try_from(revision).unwrap()
        );
        assert_eq!(
            number(&pool, "SELECT COUNT(*) FROM keys WHERE revoked_at IS NULL").await % 2,
            0
        );
        assert_eq!(
            number(&pool, "SELECT COUNT(*) FROM pragma_foreign_key_check").await,
            0
        );
        pool.close().await;
        sizes.insert(revision);
    }
    assert_eq!(sizes.len(), 5, "nothing was written meanwhile");
    let expected = (0..5).map(|round| format!("{round}.db"));
    assert_eq!(
        others(&plane.database()),
        expected.collect(),
        "something is left behind"
    );
}

#[tokio::test]
async fn backup_overwrites_nothing_and_cleans_up() {
    let mut plane = Plane::start().await;
    let taken = beside(&plane, "taken");
    fs::write(&taken, "mine").unwrap();
    let refused = backup(&plane.database(), &taken).await.unwrap_err();
    assert!(matches!(refused, BackupError::Exists(_)), "{refused}");
    assert_eq!(
        refused.to_string(),
        format!("{} exists already", taken.display())
    );
    assert_eq!(fs::read_to_string(&taken).unwrap(), "mine");
    let refused = backup(&beside(&plane, "absent.db"), &beside(&plane, "copy"))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("absent.db: "), "{refused}");
    let refused = backup(&taken, &beside(&plane, "copy")).await.unwrap_err();
    assert!(matches!(refused, BackupError::Foreign(_)), "{refused}");
    assert_eq!(
        others(&plane.database()),
        BTreeSet::from(["taken".to_owned()])
    );
    // A backup also works without a running control plane.
    plane.take().shutdown().await;
    assert!(
        backup(&plane.database(), &beside(&plane, "copy"))
            .await
            .unwrap()
            .revision
            >= 1
    );
}

#[tokio::test]
async fn restored_database_has_a_new_history() {
    let mut plane = Plane::start().await;
    let (epoch, before) = (plane.store().epoch(), plane.log_in().await.token);
    let kept = plane.log_in().await.key("kept").await;
    let file = beside(&plane, "backup");
    let made = backup(&plane.database(), &file).await.unwrap();
    let lost = plane.log_in().await.key("lost").await;
    let pool = plane.pool().await;
    pool.close().await;

    let refused = restore(&file, &plane.database(), true, 5)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("in use by another control plane"),
        "{refused}"
    );
    plane.take().shutdown().await;
    let refused = restore(&file, &plane.database(), false, 5)
        .await
        .unwrap_err();
    assert!(matches!(refused, BackupError::Exists(_)), "{refused}");

    let restored = restore(&file, &plane.database(), true, 5).await.unwrap();
    let former = beside(&plane, "latchkey.db.before-restore-5");
    let expected = Restored {
        revision: made.revision,
        keys: 1,
        former: Some(former.clone()),
        replaces_later: true,
    };
    assert_eq!(restored, expected);
    assert_eq!(
        fs::metadata(plane.database()).unwrap().permissions().mode() & 0o777,
        0o600
    );
    plane.run().await;
    assert_ne!(plane.store().epoch(), epoch);
    let ended = plane
        .request(reqwest::Method::GET, "/v1/keys")
        .bearer_auth(before)
        .send()
        .await
        .unwrap();
    assert_eq!(ended.status(), StatusCode::UNAUTHORIZED);
    let client = plane.log_in().await;
    assert_eq!(
        client.get(&format!("/v1/keys/{kept}")).await.status,
        StatusCode::OK
    );
    client
        .get(&format!("/v1/keys/{lost}"))
        .await
        .refused(404, "key_not_found");
    client.key("new").await;
    let pool = plane.pool().await;
    for next in [
        "SELECT MAX(seq) FROM keys",
        "SELECT seq FROM sqlite_sequence WHERE name = 'policies'",
    ] {
        assert!(
            number(&pool, next).await > 1_000_000,
            "a number may be given again"
        );
    }
    assert_eq!(
        number(&opened(&former).await, "SELECT COUNT(*) FROM keys").await,
        2,
        "the former one is whole"
    );
    assert_eq!(
        number(&opened(&file).await, "SELECT COUNT(*) FROM keys").await,
        1,
        "the backup is as it was"
    );
}

/// Restores over a database whose control plane was killed, which leaves a log with changes that
/// the database's file does not contain.
#[tokio::test]
async fn leftover_log_goes_with_its_database() {
    let mut plane = Plane::start().await;
    plane.create_keys("before", 2).await;
    let file = beside(&plane, "backup");
    backup(&plane.database(), &file).await.unwrap();
    plane.create_keys("after", 3).await;
    let left = ["latchkey.db", "latchkey.db-wal"]
        .map(|name| (name, fs::read(beside(&plane, name)).unwrap()));
    plane.take().shutdown().await;
    for (name, content) in left {
        fs::write(beside(&plane, name), content).unwrap();
    }
    restore(&file, &plane.database(), true, 7).await.unwrap();
    plane.run().await;
    assert_eq!(plane.log_in().await.total().await, 2);
    let former = opened(&beside(&plane, "latchkey.db.before-restore-7")).await;
    assert_eq!(number(&former, "SELECT COUNT(*) FROM keys").await, 5);
}

#[tokio::test]
async fn failed_restore_leaves_the_database_unchanged() {
    let mut plane = Plane::start().await;
    plane.create_keys("key", 200).await;
    let [text, foreign, newer, damaged] =
        ["text", "foreign", "newer", "damaged"].map(|name| beside(&plane, name));
    fs::write(
        &text,
        "not a database at all, but longer than SQLite's header of a hundred bytes would be"
            .repeat(9),
    )
    .unwrap();
    let pool = SqlitePool::connect_with(
        SqliteConnectOptions::new()
            .filename(&foreign)
            .create_if_missing(true),
    );
    sqlx::query("CREATE TABLE meta (id INTEGER)")
        .execute(&pool.await.unwrap())
        .await
        .unwrap();
    backup(&plane.database(), &newer).await.unwrap();
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'later', TRUE, x'00', 1)";
    sqlx::query(later)
        .execute(&opened(&newer).await)
        .await
        .unwrap();
    backup(&plane.database(), &damaged).await.unwrap();
    let mut bytes = fs::read(&damaged).unwrap();
    let len = bytes.len();
    bytes[len / 2..len / 2 + 4096].fill(0x55);
    fs::write(&damaged, bytes).unwrap();

    plane.take().shutdown().await;
    let before = fs::read(plane.database()).unwrap();
    for (file, expected) in [
        (&text, "is not a database of Latchkey"),
        (&foreign, "is not a database of Latchkey"),
        (
            &newer,
            "is from a newer version of Latchkey: it has migration 9999",
        ),
        (&damaged, "is damaged: "),
        (&beside(&plane, "absent"), "No such file or directory"),
    ] {
        let refused = restore(file, &plane.database(), true, 5)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.starts_with(&file.display().to_string()) && refused.contains(expected),
            "{refused}"
        );
        assert!(fs::read(plane.database()).unwrap() == before, "{refused}");
    }
    let expected = ["damaged", "foreign", "newer", "text"].map(str::to_owned);
    assert_eq!(others(&plane.database()), BTreeSet::from(expected));
}

#[tokio::test]
async fn backup_restores_without_a_database() {
    let plane = Plane::start().await;
    plane.create_keys("key", 3).await;
    let file = beside(&plane, "backup");
    backup(&plane.database(), &file).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let database = elsewhere.path().join("latchkey.db");
    let restored = restore(&file, &database, false, 5).await.unwrap();
    assert_eq!((restored.keys, restored.former), (3, None));
    let store = Store::open(&database, OpenMode::CreateIfMissing)
        .await
        .unwrap();
    assert_ne!(store.epoch(), plane.store().epoch());
    assert_eq!(store.revision(), plane.store().revision());
    assert_eq!(
        plane.log_in_as("admin@localhost", PASSWORD).await.status,
        StatusCode::OK
    );
}
