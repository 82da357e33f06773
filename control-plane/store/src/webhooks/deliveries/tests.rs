//! Tests which process sends a delivery, and the results.

use super::*;
use crate::OpenMode;
use crate::webhooks::event::Event;
use crate::webhooks::outbox;
use tempfile::TempDir;

/// Creates a store with an account, and webhooks with these ids.
async fn store(ids: &[&str]) -> (Store, TempDir) {
    const INSERT: &str = "INSERT INTO webhooks \
         (id, account_id, url, secret, events, expiring_days, created_at, updated_at) \
         SELECT ?, id, 'https://receiver.example/', x'00', '[]', '[]', 0, 0 FROM accounts";
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
    for id in ids {
        sqlx::query(INSERT)
            .bind(id)
            .execute(&store.0.writer)
            .await
            .unwrap();
    }
    (store, directory)
}

/// Adds an event for each of these webhooks, in this order.
async fn write_tests(store: &Store, ids: &[&str], now: i64) {
    let mut transaction = store.0.writer.begin().await.unwrap();
    for id in ids {
        let event = Event::Test {
            account_id: String::new(),
            webhook_id: (*id).to_owned(),
        };
        outbox::write(&mut transaction, &[((*id).to_owned(), event)], now)
            .await
            .unwrap();
    }
    transaction.commit().await.unwrap();
}

async fn claim(store: &Store, now: i64) -> Option<Claim> {
    store.claim_delivery(now, true).await.unwrap()
}

const DELIVERED: Settled = Settled::Delivered { status: 200 };

fn failed(next_at: i64) -> Settled {
    Settled::Retry {
        status: None,
        error: "no".to_owned(),
        next_at,
    }
}

#[tokio::test]
async fn served_webhooks_queue_behind_waiting_ones() {
    let (store, _directory) = store(&["one", "two"]).await;
    write_tests(&store, &["one", "one", "one", "two"], 100).await;
    let mut turns = Vec::new();
    for now in 101.. {
        let Some(claimed) = claim(&store, now).await else {
            break;
        };
        turns.push(claimed.webhook_id.clone());
        store
            .settle_delivery(claimed, DELIVERED, now)
            .await
            .unwrap();
    }
    assert_eq!(turns, ["one", "two", "one", "one"]);
    assert_eq!(
        store.webhook_backlog().await.unwrap(),
        Backlog {
            pending: 0,
            oldest: None
        }
    );
}

#[tokio::test]
async fn webhook_is_leased_to_one_worker() {
    let (store, _directory) = store(&["one"]).await;
    write_tests(&store, &["one", "one"], 100).await;
    let first = claim(&store, 100).await.unwrap();
    assert!(claim(&store, 100).await.is_none() && claim(&store, 129).await.is_none());
    let second = claim(&store, 130).await.unwrap();
    assert_eq!((first.id.as_str(), first.attempts), (second.id.as_str(), 1));
    assert_eq!(second.attempts, 2);
    // This is too late: another process holds it by now.
    store.settle_delivery(first, DELIVERED, 131).await.unwrap();
    assert!(claim(&store, 131).await.is_none());
    store.settle_delivery(second, DELIVERED, 132).await.unwrap();
    assert_eq!(claim(&store, 132).await.unwrap().attempts, 1);
    // A clock that is set back does not hold it for longer.
    write_tests(&store, &["one"], 120).await;
    assert!(
        claim(&store, 120)
            .await
            .is_some_and(|claimed| claimed.attempts == 2)
    );
}

#[tokio::test]
async fn failed_webhook_rests_and_is_skipped() {
    let (store, _directory) = store(&["failing", "lively"]).await;
    write_tests(&store, &["failing", "failing"], 100).await;
    let claimed = claim(&store, 100).await.unwrap();
    assert!(!claimed.failing);
    store
        .settle_delivery(claimed, failed(500), 101)
        .await
        .unwrap();
    assert!(claim(&store, 105).await.is_none(), "it rests");
    write_tests(&store, &["lively"], 106).await;
    let lively = store.claim_delivery(106, false).await.unwrap().unwrap();
    assert_eq!(lively.webhook_id, "lively");
    assert!(store.claim_delivery(106, false).await.unwrap().is_none());
    let claimed = claim(&store, 106).await.unwrap();
    assert!(
        claimed.failing && claimed.attempts == 1,
        "the other one is tried before the first comes again"
    );
    store
        .settle_delivery(claimed, Settled::Gone { status: 410 }, 107)
        .await
        .unwrap();
    assert!(
        claim(&store, 1_000)
            .await
            .is_some_and(|claimed| claimed.webhook_id == "lively")
    );
    assert_eq!(store.webhook_backlog().await.unwrap().pending, 1);
}
