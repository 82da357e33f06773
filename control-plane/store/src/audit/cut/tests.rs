//! Tests of the cut of the audit.

use super::*;
use crate::{OpenMode, Store};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use tempfile::TempDir;

const DAY: i64 = 86_400;
const NOW: i64 = 1_800_000_000;

/// Creates a database with an audit entry for each day of the last `days`, and one for the present.
async fn world(days: i64) -> (TempDir, Store, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("latchkey.db");
    let store = Store::open(&path, OpenMode::CreateIfMissing).await.unwrap();
    store
        .add_admin("admin@localhost", "", false, NOW)
        .await
        .unwrap();
    let account: String = sqlx::query_scalar("SELECT id FROM accounts")
        .fetch_one(&store.0.readers)
        .await
        .unwrap();
    let mut transaction = store.0.begin().await.unwrap();
    for day in (1..=days).rev() {
        let event = Event {
            before: Some(json!({ "day": day })),
            ..Event::done("key.revoke", Target::the("key"))
        };
        let at = NOW - day * DAY;
        write(
            &mut transaction,
            &account,
            &Actor::System,
            &Origin::default(),
            &[event],
            at,
        )
        .await
        .unwrap();
    }
    transaction.commit().await.unwrap();
    (directory, store, path)
}

async fn number(store: &Store, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(&store.0.readers)
        .await
        .unwrap()
}

#[tokio::test]
async fn exported_entries_are_cut_while_open() {
    let (directory, store, path) = world(2_500).await;
    let file = directory.path().join("audit.ndjson");
    let done = cut(&path, NOW - 100 * DAY, &file, NOW).await.unwrap();
    assert_eq!(done.entries, 2_400);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(hex::encode(Sha256::digest(&text)), done.sha256);
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let days: Vec<_> = lines
        .iter()
        .map(|line| line["before"]["day"].as_i64().unwrap())
        .collect();
    assert_eq!(days, (101..=2_500).rev().collect::<Vec<_>>());
    assert_eq!(
        (&lines[0]["action"], &lines[0]["target"]["type"]),
        (&json!("key.revoke"), &json!("key"))
    );
    // The rest, the first user's, and the cut's own.
    assert_eq!(number(&store, "SELECT COUNT(*) FROM audit").await, 100 + 2);
    let told: String = sqlx::query_scalar(
        "SELECT after FROM audit WHERE action = 'audit.cut' AND actor_kind = 'system'",
    )
    .fetch_one(&store.0.readers)
    .await
    .unwrap();
    let expected =
        json!({"before": rfc3339(NOW - 100 * DAY), "entries": 2_400, "sha256": done.sha256});
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), expected);

    // Nothing is left to cut, and nothing is recorded of that.
    let again = cut(&path, NOW - 100 * DAY, &directory.path().join("again"), NOW)
        .await
        .unwrap();
    assert_eq!(
        (
            again.entries,
            number(&store, "SELECT COUNT(*) FROM audit_cuts").await
        ),
        (0, 1)
    );
}

#[tokio::test]
async fn young_entries_and_existing_files_stay() {
    let (directory, store, path) = world(95).await;
    let file = directory.path().join("audit.ndjson");
    let refused = cut(&path, NOW - 90 * DAY + 1, &file, NOW)
        .await
        .unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!(
            "--before must be at least 90 days ago: {} at the latest",
            rfc3339(NOW - 90 * DAY)
        )
    );
    assert!(!file.exists());
    fs::write(&file, "mine").unwrap();
    let refused = cut(&path, NOW - 90 * DAY, &file, NOW).await.unwrap_err();
    assert!(matches!(refused, CutError::File { .. }), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(number(&store, "SELECT COUNT(*) FROM audit").await, 96);
    let foreign = cut(
        &directory.path().join("none.db"),
        NOW - 90 * DAY,
        &directory.path().join("none"),
        NOW,
    )
    .await;
    assert!(matches!(foreign, Err(CutError::Foreign { .. })));
}

#[tokio::test]
async fn database_refuses_unannounced_audit_cuts() {
    let (directory, store, path) = world(95).await;
    cut(
        &path,
        NOW - 92 * DAY,
        &directory.path().join("audit.ndjson"),
        NOW,
    )
    .await
    .unwrap();
    let mut refused = Vec::new();
    for statement in [
        "DELETE FROM audit",
        "DELETE FROM audit WHERE seq = (SELECT MIN(seq) FROM audit WHERE action = 'key.revoke')",
        "UPDATE audit SET at = 0",
        "UPDATE audit_cuts SET through = 1000, before = 2000000000",
        "DELETE FROM audit_cuts",
        // This cut is of entries younger than 90 days.
        "INSERT INTO audit_cuts (through, before, entries, sha256, cut_at) VALUES (1000, 1799990000, 1, '', 1800000000)",
    ] {
        if sqlx::query(statement)
            .execute(&store.0.writer)
            .await
            .is_err()
        {
            refused.push(statement);
        }
    }
    assert_eq!(refused.len(), 6, "{refused:?}");
    assert_eq!(
        number(
            &store,
            "SELECT COUNT(*) FROM audit WHERE action = 'key.revoke'"
        )
        .await,
        92
    );
}
