//! Tests of collecting, storing and distributing reports.

use super::*;
use crate::nodes::hello::NodeProperties;
use crate::nodes::identity::hexadecimal;
use crate::nodes::registry::{NodeConnection, NodeLimits};
use crate::stop::{self, Stopper};
use latchkey_policy::key::{Environment, KeyFormat};
use latchkey_policy::limit::Window;
use latchkey_store::usage::{Count, KeyReport, RemoteUsage, Requests, Windows};
use latchkey_store::{NewKey, OpenMode};
use sqlx::{Connection as _, SqliteConnection};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tempfile::TempDir;

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> i64 {
        1_800_000_000
    }
}

struct Fixture {
    store: Store,
    registry: Registry,
    collector: ReportCollector,
    account: String,
    key_id: String,
    path: PathBuf,
    _directory: TempDir,
    _stopper: Stopper,
}

impl Fixture {
    /// Creates a fixture with one key, number 1.
    async fn new() -> Self {
        Self::with_keys(1).await
    }

    /// Creates a fixture with `count` keys, numbered from 1.
    async fn with_keys(count: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("latchkey.db");
        let store = Store::open(&path, OpenMode::CreateIfMissing).await.unwrap();
        store
            .add_admin("admin@localhost", "", false, 0)
            .await
            .unwrap();
        let admin = store.credentials("admin@localhost").await.unwrap().unwrap();
        let key = |number: u64| {
            let secret = KeyFormat::default()
                .generate(Environment::Live, getrandom::fill)
                .unwrap();
            let name = format!("key-{number}");
            NewKey::new(
                &admin.account_id,
                &admin.user_id,
                &name,
                &secret,
                "basic",
                Environment::Live,
            )
        };
        let keys: Vec<_> = (1..=count).map(key).collect();
        let key_id = store.create_keys(&keys, 0).await.unwrap().keys.remove(0).id;
        let (stopper, stop) = stop::channel();
        let clock = Arc::new(FixedClock);
        let metrics = Arc::new(Metrics::new(&store));
        let limits = NodeLimits {
            grace: Duration::from_secs(60),
            require_staleness: false,
            max_nodes: 100,
        };
        let registry = Registry::open(
            store.clone(),
            clock.clone(),
            metrics.clone(),
            limits,
            stop.clone(),
        )
        .await
        .unwrap();
        let collector = ReportCollector::start(
            store.clone(),
            registry.clone(),
            clock,
            metrics,
            stop.clone(),
        );
        let account = admin.account_id;

        Self {
            store,
            registry,
            collector,
            account,
            key_id,
            path,
            _directory: directory,
            _stopper: stopper,
        }
    }

    async fn hand_over(&self, connection: &NodeConnection, sequence: u64, allowed: u64) {
        let mut requests = Requests::default();
        requests[0] = allowed;
        let key = KeyReport {
            key: 1,
            requests,
            windows: Windows::default(),
            last_uses: Vec::new(),
        };
        self.hand_over_keys(connection, sequence, vec![key]).await;
    }

    async fn hand_over_keys(
        &self,
        connection: &NodeConnection,
        sequence: u64,
        keys: Vec<KeyReport>,
    ) {
        let mailboxes = self.registry.mailboxes();
        let meters = mailboxes
            .into_iter()
            .filter(|(_, mailbox)| mailbox.is(&connection.mailbox));
        let instance = meters
            .map(|(meter, _)| meter)
            .next()
            .unwrap_or_else(|| hexadecimal(1));
        let received = ReceivedReport {
            node: connection.id.clone(),
            stream: connection.stream,
            sequence,
            mailbox: connection.mailbox.clone(),
            report: Arc::new(Report {
                instance,
                keys,
                clock_is_off: false,
            }),
        };

        self.collector.reserve().await.unwrap().send(received);
    }

    fn connect(&self) -> NodeConnection {
        self.connect_as(1)
    }

    fn connect_as(&self, instance: u64) -> NodeConnection {
        let id = NodeId::from_instance("edge".to_owned(), instance);
        let meter = hexadecimal(instance);
        let version = "0.1.0".to_owned();
        let facts = NodeProperties {
            version,
            protocol: 0,
            staleness: 0,
            meter,
            instance: Some(instance),
        };

        self.registry.admit(id, facts, None).unwrap()
    }

    /// Changes the database without the store.
    async fn execute(&self, statement: &'static str) {
        let mut connection = SqliteConnection::connect(self.path.to_str().unwrap())
            .await
            .unwrap();
        sqlx::query(statement)
            .execute(&mut connection)
            .await
            .unwrap();
    }

    async fn allowed(&self) -> u64 {
        self.store
            .key_usage(&self.account, &self.key_id, FixedClock.now())
            .await
            .unwrap()
            .by_code[0]
            .1
    }
}

/// Waits until `sequence` is stored.
async fn wait_until_stored(connection: &NodeConnection, sequence: u64) {
    loop {
        connection.mailbox.filled().await;
        let mail = connection.mailbox.take();
        assert!(!mail.failed, "it failed");
        if mail.acknowledged.contains(&sequence) {
            return;
        }
    }
}

/// Returns a report with this count in all windows.
fn used(key: u64, count: u32) -> KeyReport {
    let window = |window: Window| {
        Some(Count {
            number: window.number(FixedClock.now()),
            count,
        })
    };
    let mut requests = Requests::default();
    requests[0] = count.into();

    KeyReport {
        key,
        requests,
        windows: Window::ALL.map(window),
        last_uses: Vec::new(),
    }
}

/// Waits until the node has received this sum for `keys` keys.
async fn wait_for_sum(connection: &NodeConnection, keys: usize, sum: u32) {
    let mut received = BTreeSet::new();
    while received.len() < keys {
        connection.mailbox.filled().await;
        let mail = connection.mailbox.take();
        assert!(!mail.missed && !mail.failed);
        let all = |usage: &&RemoteUsage| {
            usage
                .windows
                .iter()
                .flatten()
                .all(|count| count.count == sum)
        };
        received.extend(mail.remote_usage.iter().filter(all).map(|usage| usage.key));
    }
}

#[tokio::test]
async fn superseded_stream_is_ignored() {
    let fixture = Fixture::new().await;
    let older = fixture.connect();
    fixture.hand_over(&older, 1, 3).await;
    wait_until_stored(&older, 1).await;
    let newer = fixture.connect();
    fixture.hand_over(&newer, 1, 7).await;
    fixture.hand_over(&older, 2, 5).await;
    fixture.hand_over(&newer, 2, 8).await;
    wait_until_stored(&newer, 2).await;

    assert_eq!(fixture.allowed().await, 8);
    assert_eq!(older.mailbox.take().acknowledged, [0; 0]);
}

#[tokio::test]
async fn report_outlives_its_stream() {
    let fixture = Fixture::new().await;
    let stream = fixture.connect();
    let mailbox = stream.mailbox.clone();
    fixture.hand_over(&stream, 1, 3).await;
    drop(stream);
    mailbox.filled().await;
    assert_eq!(mailbox.take().acknowledged, [1]);
    assert_eq!(fixture.allowed().await, 3);
}

#[tokio::test]
async fn unstorable_report_does_not_block_others() {
    let fixture = Fixture::new().await;
    let (one, two) = (fixture.connect_as(1), fixture.connect_as(2));
    fixture.hand_over(&one, 1, 3).await;
    wait_until_stored(&one, 1).await;
    fixture
        .execute("UPDATE node_usage SET requests = 'no list'")
        .await;

    // Both are stored in one transaction.
    fixture.hand_over(&one, 2, 4).await;
    fixture.hand_over(&two, 1, 5).await;
    wait_until_stored(&two, 1).await;
    one.mailbox.filled().await;
    let mail = one.mailbox.take();

    assert_eq!((mail.failed, mail.acknowledged), (true, vec![]));
    assert_eq!(fixture.allowed().await, 8);
}

#[tokio::test]
async fn failed_attempt_sends_everything_again() {
    let fixture = Fixture::new().await;
    let [one, two, three] = [1, 2, 3].map(|instance| fixture.connect_as(instance));
    fixture.hand_over_keys(&one, 1, vec![used(1, 3)]).await;
    wait_until_stored(&one, 1).await;
    fixture.hand_over_keys(&two, 1, vec![used(1, 5)]).await;

    // The report is stored then. The counts can be in the same mail, which is taken once.
    wait_for_sum(&two, 1, 3).await;
    fixture.hand_over(&three, 1, 1).await;
    wait_until_stored(&three, 1).await;
    fixture
        .execute("UPDATE node_usage SET requests = 'no list' WHERE instance LIKE '%3'")
        .await;

    // The first attempt may have stored this before without a message to other nodes. On a slow
    // machine the two reports may arrive too late for one attempt.
    for sequence in 2..12 {
        fixture
            .hand_over_keys(&one, sequence, vec![used(1, 3)])
            .await;
        fixture.hand_over(&three, sequence, 2).await;
        wait_until_stored(&one, sequence).await;
        if time::timeout(PAUSE * 5, wait_for_sum(&two, 1, 3))
            .await
            .is_ok()
        {
            return;
        }
    }

    panic!("no other node receives the counts");
}

#[tokio::test]
async fn foreign_counts_are_read_where_known() {
    let fixture = Fixture::new().await;
    let stream = fixture.connect();
    fixture.hand_over(&stream, 1, 7).await;
    wait_until_stored(&stream, 1).await;
    fixture
        .execute("UPDATE node_usage SET requests = '[2]', windows = '[]'")
        .await;
    fixture.hand_over(&stream, 2, 9).await;
    wait_until_stored(&stream, 2).await;

    assert_eq!(fixture.allowed().await, 7 + 7);
    fixture.execute("UPDATE node_usage SET requests = '[4,0,0,0,0,0,0,0,9]', windows = '[null,null,null,null,[1,2]]'")
        .await;
    fixture.hand_over(&stream, 3, 10).await;
    wait_until_stored(&stream, 3).await;

    assert_eq!(fixture.allowed().await, 14 + 6);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures: run it alone, in release"]
async fn full_report_duration() {
    const KEYS: u64 = 10_000;
    let fixture = Fixture::with_keys(KEYS).await;
    let report = async |connection: &NodeConnection, sequence: u64, count: u32| {
        let started = Instant::now();
        fixture
            .hand_over_keys(
                connection,
                sequence,
                (1..=KEYS).map(|key| used(key, count)).collect(),
            )
            .await;
        wait_until_stored(connection, sequence).await;
        started.elapsed()
    };
    let mut connections = Vec::new();

    for instance in 1..=50 {
        connections.push(fixture.connect_as(instance));
        let first = report(&connections[connections.len() - 1], 1, 1).await;
        if instance == 1 {
            let second = report(&connections[0], 2, 2).await;
            println!("1 process: stored within {first:?}, and again within {second:?}");
        }
    }

    for connection in &connections[1..] {
        wait_for_sum(connection, 10_000, 50).await;
    }

    let started = Instant::now();
    let stored = report(&connections[0], 3, 3).await;
    for connection in &connections[1..] {
        wait_for_sum(connection, 10_000, 51).await;
    }

    println!(
        "50 processes: stored within {stored:?}, and all delivered within {:?}",
        started.elapsed()
    );
}
