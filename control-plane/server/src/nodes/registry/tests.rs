//! Nodes that connect and disconnect, and their rows.

use super::*;
use crate::stop::Stopper;
use latchkey_store::OpenMode;
use tempfile::TempDir;
use tokio::runtime::Handle;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> i64 {
        1_800_000_000
    }
}

async fn registry(grace: Duration) -> (Registry, TempDir, Stopper) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(
        &directory.path().join("latchkey.db"),
        OpenMode::CreateIfMissing,
    )
    .await
    .unwrap();
    let (stopper, stop) = crate::stop::channel();
    let metrics = Arc::new(Metrics::new(&store));
    let limits = NodeLimits {
        grace,
        require_staleness: false,
        max_nodes: 10,
    };
    let registry = Registry::open(store, Arc::new(FixedClock), metrics, limits, stop)
        .await
        .unwrap();

    (registry, directory, stopper)
}

#[tokio::test]
async fn node_lost_repeatedly_leaves_no_tasks() {
    let grace = Duration::from_millis(50);
    let (registry, _directory, _stopper) = registry(grace).await;
    let before = Handle::current().metrics().num_alive_tasks();

    for staleness in [0, 86_400] {
        let id = NodeId::from_secret("edge".to_owned(), &[1]);
        let facts = NodeProperties {
            version: String::new(),
            protocol: 1,
            staleness,
            meter: String::new(),
            instance: None,
        };
        for lost in 0..100 {
            drop(registry.admit(id.clone(), facts.clone(), None).unwrap());
            if lost % 10 == 0 {
                // The node also returns after the grace period.
                tokio::time::sleep(2 * grace).await;
            }
        }
        let began = Instant::now();
        while Handle::current().metrics().num_alive_tasks() > before + 5 {
            assert!(began.elapsed() < Duration::from_secs(20), "tasks are left");
            tokio::time::sleep(grace).await;
        }
        let expected = Progress {
            nodes: 1,
            acknowledged: 0,
            lost: 1,
            unknown: false,
        };
        assert_eq!(registry.progress(1), expected, "it counts all the same");
    }
}

fn edge(secret: u8) -> NodeId {
    NodeId::from_secret("edge".to_owned(), &[secret])
}

fn facts(staleness: u64) -> NodeProperties {
    NodeProperties {
        version: String::new(),
        protocol: 1,
        staleness,
        meter: String::new(),
        instance: None,
    }
}

/// Returns the rows of the table of nodes.
async fn rows(registry: &Registry) -> Vec<String> {
    let past = registry
        .0
        .store
        .begin_run(1_800_000_000, 0, |_| 0)
        .await
        .unwrap();
    past.nodes.into_iter().map(|row| row.secret_hash).collect()
}

#[tokio::test]
async fn lost_nodes_make_room() {
    let (registry, _directory, stopper) = registry(Duration::from_secs(1)).await;
    let mut open = Vec::new();
    for secret in 0..10 {
        let connection = registry.admit(edge(secret), facts(86_400), None).unwrap();
        connection.persist().await;
        if secret == 3 {
            drop(connection);
        } else {
            open.push(connection);
        }
    }
    let newest = registry.admit(edge(10), facts(60), None).unwrap();
    newest.persist().await;
    let expected = Progress {
        nodes: 11,
        acknowledged: 0,
        lost: 1,
        unknown: true,
    };
    assert_eq!(registry.progress(1), expected, "one is unknown now");
    assert_eq!(registry.0.metrics.nodes.merged.get(), 1);
    let left = registry.unknown().unwrap().unwrap();
    assert!((86_390..=86_401).contains(&left), "{left}");

    let refused = registry.admit(edge(11), facts(60), None).err().unwrap();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
    assert_eq!(
        registry
            .refused()
            .iter()
            .map(|peer| peer.refusal)
            .collect::<Vec<_>>(),
        [Refusal::Nodes]
    );
    assert_eq!(registry.0.metrics.nodes.limit_refusals.get(), 1);

    // A restarted control plane knows it as well.
    let rows = rows(&registry).await;
    assert!(
        rows.len() == 10 && !rows.contains(&edge(3).secret_hash),
        "{rows:?}"
    );
    let Shared {
        store,
        clock,
        metrics,
        limits,
        stop,
        ..
    } = &*registry.0;
    let next = Registry::open(
        store.clone(),
        clock.clone(),
        metrics.clone(),
        *limits,
        stop.clone(),
    )
    .await
    .unwrap();
    assert!(next.unknown().unwrap().unwrap() > 86_390);
    drop((open, newest, stopper));
}

#[tokio::test]
async fn newly_unknown_node_is_not_forgotten() {
    let (registry, _directory, _stopper) = registry(Duration::from_secs(1)).await;
    for secret in 0..11 {
        drop(registry.admit(edge(secret), facts(86_400), None).unwrap());
    }
    let merged = registry.merged();
    drop(registry.admit(edge(11), facts(86_400), None).unwrap());
    registry.forget_unknown(merged);
    assert!(registry.unknown().is_some());
    registry.forget_unknown(registry.merged());
    assert!(registry.unknown().is_none());
}

#[tokio::test]
async fn node_before_the_stop_is_persisted() {
    let (registry, _directory, stopper) = registry(Duration::from_secs(1)).await;
    let connection = registry.admit(edge(1), facts(60), None).unwrap();
    let attempted = connection.persist();
    stopper.stop();
    attempted.await;
    assert!(connection.is_persisted());
}
