//! Stores the reports of all streams, in one transaction after the other.

use latchkey_model::clock::Clock;
use latchkey_store::usage::{News, Report};
use latchkey_store::{Store, StoreError};
use std::collections::BTreeSet;
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};
use tracing::{error, warn};

use super::CountBroadcaster;
use crate::metrics::Metrics;
use crate::nodes::identity::NodeId;
use crate::nodes::mailbox::Mailbox;
use crate::nodes::registry::Registry;
use crate::stop::Stop;

/// The minimum time between the starts of two transactions. Reports that arrive in this time go
/// into the next one. A report that arrives later is stored at once.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);

/// The maximum number of waiting reports. A stream without room for its report continues with
/// everything else.
const CAPACITY: usize = 16;

/// The number of keys at which a transaction begins before the pause is over. It bounds the time
/// for which other writers wait.
const KEYS: usize = 10_000;

/// The pause after a transaction that failed temporarily.
const RETRY: Duration = Duration::from_secs(1);

/// The minimum time between two warnings about counts that are held back.
const WARNED_EVERY: Duration = Duration::from_secs(60);

/// A report with its sender.
pub(crate) struct ReceivedReport {
    pub(crate) node: NodeId,
    /// The number of the node's stream that it came from.
    pub(crate) stream: u64,
    pub(crate) sequence: u64,
    pub(crate) mailbox: Mailbox,
    pub(crate) report: Arc<Report>,
}

/// Accepts reports from streams.
#[derive(Clone)]
pub(crate) struct ReportCollector(mpsc::Sender<ReceivedReport>);

impl ReportCollector {
    /// Starts storing reports, until `stop`.
    pub(crate) fn start(
        store: Store,
        registry: Registry,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        stop: Stop,
    ) -> Self {
        let (sender, reports) = mpsc::channel(CAPACITY);
        let broadcaster =
            CountBroadcaster::start(store.clone(), registry.clone(), clock.clone(), stop.clone());
        let task = CollectorTask {
            store,
            registry,
            clock,
            metrics,
            broadcaster,
            warned: Mutex::default(),
        };

        stop.spawn(task.run(reports));
        Self(sender)
    }

    /// Waits for room for one report. Returns `None` after the stop. Cancelling it has no effect.
    pub(crate) async fn reserve(&self) -> Option<mpsc::Permit<'_, ReceivedReport>> {
        self.0.reserve().await.ok()
    }
}

/// The task that stores reports.
struct CollectorTask {
    store: Store,
    registry: Registry,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    broadcaster: CountBroadcaster,
    /// The time of the last warning about counts that are held back.
    warned: Mutex<Option<Instant>>,
}

impl CollectorTask {
    /// Stores reports until all senders are gone.
    async fn run(self, mut reports: mpsc::Receiver<ReceivedReport>) {
        let mut begin = Instant::now();
        while let Some(received) = gather(&mut reports, begin).await {
            begin = Instant::now() + PAUSE;
            self.store_reports(received).await;
        }
    }

    /// Stores reports, together if possible.
    async fn store_reports(&self, mut received: Vec<ReceivedReport>) {
        // An older stream of the same process has older totals. They would look like totals after a
        // loss.
        received.retain(|received| !self.registry.is_superseded(&received.node, received.stream));

        if self.store_all(&received, News::default()).await.is_ok() {
            return;
        }

        // A report that cannot be stored must not prevent the storage of others.
        for received in received {
            let alone = slice::from_ref(&received);
            if let Err(error) = self.store_all(alone, all_keys(alone)).await {
                error!(%error, instance = received.report.instance, "cannot store usage");
                received.mailbox.fail();
            }
        }
    }

    /// Stores all reports or none, and acknowledges them. Other nodes receive the new counts, and
    /// those of `news`.
    async fn store_all(
        &self,
        received: &[ReceivedReport],
        mut news: News,
    ) -> Result<(), StoreError> {
        let reports: Vec<_> = received
            .iter()
            .map(|received| received.report.clone())
            .collect();

        loop {
            let started = Instant::now();
            match self
                .store
                .take_in_usage(reports.clone(), self.clock.now())
                .await
            {
                Ok(taken) => {
                    self.metrics
                        .usage
                        .commit_seconds
                        .observe(started.elapsed().as_secs_f64());
                    self.report_held_back(received, &taken.held_back);
                    news.append(taken.news);
                    break;
                }
                Err(error @ StoreError::Unavailable(_)) => {
                    error!(%error, "cannot store usage yet; retrying");
                    news = all_keys(received);
                    time::sleep(RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }

        let keys: usize = reports.iter().map(|report| report.keys.len()).sum();
        self.metrics
            .usage
            .reports
            .inc_by(u64::try_from(reports.len()).unwrap_or(u64::MAX));
        self.metrics
            .usage
            .keys
            .inc_by(u64::try_from(keys).unwrap_or(u64::MAX));

        received
            .iter()
            .for_each(|received| received.mailbox.acknowledge(received.sequence));
        self.broadcaster.send(news);
        Ok(())
    }

    /// Logs and counts nodes whose counts are held back: they do not count for the limits of other
    /// nodes.
    fn report_held_back(&self, received: &[ReceivedReport], held_back: &BTreeSet<String>) {
        if held_back.is_empty() {
            return;
        }
        let nodes = u64::try_from(held_back.len()).unwrap_or(u64::MAX);
        self.metrics.usage.held_back.inc_by(nodes);

        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|warned| warned.elapsed() < WARNED_EVERY) {
            return;
        }
        *warned = Some(Instant::now());

        let node = received
            .iter()
            .find(|received| held_back.contains(&received.report.instance));
        let (node, handle) = node.map_or(("", ""), |received| {
            (&received.node.node_id, received.node.handle())
        });
        warn!(
            node,
            handle,
            nodes,
            "a node reports requests in the future: they do not count for limits across Envoys \
             until the clocks agree"
        );
    }
}

/// Returns all keys of some reports. A failed commit may still have stored them, and then the next
/// attempt finds nothing new in them.
fn all_keys(received: &[ReceivedReport]) -> News {
    let mut news = News::default();
    let keys = received.iter().flat_map(|received| &received.report.keys);
    keys.for_each(|report| news.add(report.key, None));
    news
}

/// Waits for a report, and for further ones until `begin`. Returns `None` once all senders are
/// gone.
async fn gather(
    reports: &mut mpsc::Receiver<ReceivedReport>,
    begin: Instant,
) -> Option<Vec<ReceivedReport>> {
    let mut gathered = vec![reports.recv().await?];
    let mut keys = gathered
        .iter()
        .map(|received| received.report.keys.len())
        .sum::<usize>();

    // Reports that have arrived already are also taken after `begin`.
    while keys < KEYS
        && let Ok(Some(received)) = time::timeout_at(begin, reports.recv()).await
    {
        keys += received.report.keys.len();
        gathered.push(received);
    }
    Some(gathered)
}

#[cfg(test)]
mod tests;
