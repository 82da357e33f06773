//! Nodes that come and go: what is left of them.

use super::*;
use crate::stop::Stopper;
use crate::store::OpenMode;
use tempfile::TempDir;
use tokio::runtime::Handle;

struct Still;

impl Clock for Still {
    fn now(&self) -> i64 {
        1_800_000_000
    }
}

async fn registry(grace: Duration) -> (Registry, TempDir, Stopper) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("latchkey.db"), OpenMode::CreateIfMissing).await.unwrap();
    let (stopper, stop) = crate::stop::channel();
    let metrics = Arc::new(Metrics::new(&store));
    let limits = NodeLimits { grace, require_staleness: false, max_nodes: 10 };
    let registry = Registry::open(store, Arc::new(Still), metrics, limits, stop).await.unwrap();
    (registry, directory, stopper)
}

#[tokio::test]
async fn node_that_is_lost_again_and_again_leaves_no_tasks() {
    let grace = Duration::from_millis(50);
    let (registry, _directory, _stopper) = registry(grace).await;
    let before = Handle::current().metrics().num_alive_tasks();
    for staleness in [0, 86_400] {
        let id = NodeId::of_secret("edge".to_owned(), &[1]);
        let facts = NodeFacts { version: String::new(), protocol: 1, staleness, meter: String::new(), instance: None };
        for lost in 0..100 {
            drop(registry.admit(id.clone(), facts.clone(), None).unwrap());
            if lost % 10 == 0 {
                // Back after the grace, too.
                tokio::time::sleep(2 * grace).await;
            }
        }
        let began = Instant::now();
        while Handle::current().metrics().num_alive_tasks() > before + 5 {
            assert!(began.elapsed() < Duration::from_secs(20), "tasks are left");
            tokio::time::sleep(grace).await;
        }
        let expected = Progress { nodes: 1, acknowledged: 0, lost: 1, unknown: false };
        assert_eq!(registry.progress(1), expected, "it counts all the same");
    }
}
