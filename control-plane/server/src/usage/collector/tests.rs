//! Tests of collecting, storing and distributing reports.

use super::*;
use crate::nodes::hello::NodeFacts;
use crate::nodes::identity::hexadecimal;
use crate::nodes::registry::{Connection, NodeLimits};
use crate::stop::{self, Stopper};
use latchkey_policy::key::{Environment, KeyFormat};
use latchkey_policy::limit::Window;
use latchkey_store::usage::{Count, KeyReport, RemoteUsage, Requests, Windows};
use latchkey_store::{NewKey, OpenMode};
use sqlx::{Connection as _, SqliteConnection};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tempfile::TempDir;

struct Still;

impl Clock for Still {
    fn now(&self) -> i64 {
        1_800_000_000
    }
}

struct Room {
    store: Store,
    registry: Registry,
    collector: Collector,
    account: String,
    key_id: String,
    path: PathBuf,
    _directory: TempDir,
    _stopper: Stopper,
}

impl Room {
    /// Creates a room with one key, number 1.
    async fn new() -> Self {
        Self::with_keys(1).await
    }

    /// Creates a room with `count` keys, numbered from 1.
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
        let clock = Arc::new(Still);
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
        let collector = Collector::start(
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

    async fn hand_over(&self, connection: &Connection, sequence: u64, allowed: u64) {
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

    async fn hand_over_keys(&self, connection: &Connection, sequence: u64, keys: Vec<KeyReport>) {
        let mailboxes = self.registry.mailboxes();
        let meters = mailboxes
            .into_iter()
            .filter(|(_, mailbox)| mailbox.is(&connection.mailbox));
        let instance = meters
            .map(|(meter, _)| meter)
            .next()
            .unwrap_or_else(|| hexadecimal(1));
        let received = Received {
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
        self.collector.room().await.unwrap().send(received);
    }

    fn connect(&self) -> Connection {
        self.connect_as(1)
    }

    fn connect_as(&self, instance: u64) -> Connection {
        let id = NodeId::of_instance("edge".to_owned(), instance);
        let meter = hexadecimal(instance);
        let version = "0.1.0".to_owned();
        let facts = NodeFacts {
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
            .key_usage(&self.account, &self.key_id, Still.now())
            .await
            .unwrap()
            .by_code[0]
            .1
    }
}

/// Waits until `sequence` is stored.
async fn stored(connection: &Connection, sequence: u64) {
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
            number: window.number(Still.now()),
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
async fn told(connection: &Connection, keys: usize, sum: u32) {
    let mut told = BTreeSet::new();
    while told.len() < keys {
        connection.mailbox.filled().await;
        let mail = connection.mailbox.take();
        assert!(!mail.missed && !mail.failed);
        let all = |told: &&RemoteUsage| {
            told.windows
                .iter()
                .flatten()
                .all(|count| count.count == sum)
        };
        told.extend(mail.elsewhere.iter().filter(all).map(|told| told.key));
    }
}

#[tokio::test]
async fn what_an_older_stream_of_the_same_process_says_is_passed_over() {
    let room = Room::new().await;
    let older = room.connect();
    room.hand_over(&older, 1, 3).await;
    stored(&older, 1).await;
    let newer = room.connect();
    room.hand_over(&newer, 1, 7).await;
    room.hand_over(&older, 2, 5).await;
    room.hand_over(&newer, 2, 8).await;
    stored(&newer, 2).await;
    assert_eq!(room.allowed().await, 8);
    assert_eq!(older.mailbox.take().acknowledged, [0; 0]);
}

#[tokio::test]
async fn a_report_outlives_its_stream() {
    let room = Room::new().await;
    let stream = room.connect();
    let mailbox = stream.mailbox.clone();
    room.hand_over(&stream, 1, 3).await;
    drop(stream);
    mailbox.filled().await;
    assert_eq!(mailbox.take().acknowledged, [1]);
    assert_eq!(room.allowed().await, 3);
}

#[tokio::test]
async fn a_report_that_cannot_be_stored_keeps_no_other_from_it() {
    let room = Room::new().await;
    let (one, two) = (room.connect_as(1), room.connect_as(2));
    room.hand_over(&one, 1, 3).await;
    stored(&one, 1).await;
    room.execute("UPDATE node_usage SET requests = 'no list'")
        .await;
    // Both are stored in one transaction.
    room.hand_over(&one, 2, 4).await;
    room.hand_over(&two, 1, 5).await;
    stored(&two, 1).await;
    one.mailbox.filled().await;
    let mail = one.mailbox.take();
    assert_eq!((mail.failed, mail.acknowledged), (true, vec![]));
    assert_eq!(room.allowed().await, 8);
}

#[tokio::test]
async fn after_an_attempt_that_failed_everything_is_news() {
    let room = Room::new().await;
    let [one, two, three] = [1, 2, 3].map(|instance| room.connect_as(instance));
    room.hand_over_keys(&one, 1, vec![used(1, 3)]).await;
    stored(&one, 1).await;
    room.hand_over_keys(&two, 1, vec![used(1, 5)]).await;
    // The report is stored then. The counts can be in the same mail, which is taken once.
    told(&two, 1, 3).await;
    room.hand_over(&three, 1, 1).await;
    stored(&three, 1).await;
    room.execute("UPDATE node_usage SET requests = 'no list' WHERE instance LIKE '%3'")
        .await;
    // The first attempt may have stored this before without a message to other nodes. On a slow
    // machine the two reports may arrive too late for one attempt.
    for sequence in 2..12 {
        room.hand_over_keys(&one, sequence, vec![used(1, 3)]).await;
        room.hand_over(&three, sequence, 2).await;
        stored(&one, sequence).await;
        if time::timeout(PAUSE * 5, told(&two, 1, 3)).await.is_ok() {
            return;
        }
    }
    panic!("nobody is told");
}

#[tokio::test]
async fn what_another_version_stored_is_read_as_far_as_it_goes() {
    let room = Room::new().await;
    let stream = room.connect();
    room.hand_over(&stream, 1, 7).await;
    stored(&stream, 1).await;
    room.execute("UPDATE node_usage SET requests = '[2]', windows = '[]'")
        .await;
    room.hand_over(&stream, 2, 9).await;
    stored(&stream, 2).await;
    assert_eq!(room.allowed().await, 7 + 7);
    room.execute("UPDATE node_usage SET requests = '[4,0,0,0,0,0,0,0,9]', windows = '[null,null,null,null,[1,2]]'")
        .await;
    room.hand_over(&stream, 3, 10).await;
    stored(&stream, 3).await;
    assert_eq!(room.allowed().await, 14 + 6);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures: run it alone, in release"]
async fn what_a_full_report_costs() {
    const KEYS: u64 = 10_000;
    let room = Room::with_keys(KEYS).await;
    let report = async |connection: &Connection, sequence: u64, count: u32| {
        let started = Instant::now();
        room.hand_over_keys(
            connection,
            sequence,
            (1..=KEYS).map(|key| used(key, count)).collect(),
        )
        .await;
        stored(connection, sequence).await;
        started.elapsed()
    };
    let mut connections = Vec::new();
    for instance in 1..=50 {
        connections.push(room.connect_as(instance));
        let first = report(&connections[connections.len() - 1], 1, 1).await;
        if instance == 1 {
            let second = report(&connections[0], 2, 2).await;
            println!("1 process: stored within {first:?}, and again within {second:?}");
        }
    }
    for connection in &connections[1..] {
        told(connection, 10_000, 50).await;
    }
    let started = Instant::now();
    let stored = report(&connections[0], 3, 3).await;
    for connection in &connections[1..] {
        told(connection, 10_000, 51).await;
    }
    println!(
        "50 processes: stored within {stored:?}, and all told within {:?}",
        started.elapsed()
    );
}
