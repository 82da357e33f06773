//! Tests of the store as a whole.

use super::*;
use latchkey_model::random;
use latchkey_policy::key::{Environment, KeyFormat};

/// Makes the database full, so that a write fails in the middle of its transaction.
async fn fill_up(store: &Store) -> StoreError {
    // The limit applies to this connection only, and is never below the present size.
    sqlx::query("PRAGMA max_page_count = 1")
        .fetch_one(&store.0.writer)
        .await
        .unwrap();
    let user = store.credentials("admin@localhost").await.unwrap().unwrap();
    let format = KeyFormat::default();
    for n in 0.. {
        let secret = format.generate(Environment::Live, random::fill).unwrap();
        let name = format!("{n} {}", "x".repeat(2_000));
        let key = NewKey::new(
            &user.account_id,
            &user.user_id,
            &name,
            &secret,
            "basic",
            Environment::Live,
        );
        if let Err(error) = store.create_keys(&[key], 0).await {
            return error;
        }
    }
    unreachable!("it is never full");
}

#[tokio::test]
async fn failed_write_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(
        &directory.path().join("latchkey.db"),
        OpenMode::CreateIfMissing,
    )
    .await
    .unwrap();
    store
        .add_admin("admin@localhost", "", false, 0)
        .await
        .unwrap();
    let error = fill_up(&store).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    // Space becomes available.
    sqlx::query("PRAGMA max_page_count = 1000000")
        .fetch_one(&store.0.writer)
        .await
        .unwrap();
    let user = store.credentials("admin@localhost").await.unwrap().unwrap();
    let secret = KeyFormat::default()
        .generate(Environment::Live, random::fill)
        .unwrap();
    let key = NewKey::new(
        &user.account_id,
        &user.user_id,
        "last",
        &secret,
        "basic",
        Environment::Live,
    );
    let revision = store.create_keys(&[key], 0).await.unwrap().revision;
    assert_eq!(store.revision(), revision);
}
