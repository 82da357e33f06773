//! The parts that run in a trial, and the state that its tasks share.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use latchkey_tests::{
    ControlPlane, ControlPlaneOptions, EnvoyOptions, Link, SeededRng, filter, next_format_filter,
};
use serde_json::json;
use tokio::sync::RwLock;

use crate::api::Api;
use crate::control::Control;
use crate::envoys::Node;
use crate::model::{Model, Subject, Violation};
use crate::settings::Settings;

/// The number of revoked keys that requests still use.
const REVOKED: usize = 60;

/// The request about a subject.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) subject: Subject,
    pub(crate) request: Arc<[u8]>,
}

/// A key that was revoked, according to the answer.
#[derive(Debug, Clone)]
pub(crate) struct Revoked {
    pub(crate) target: Target,
    pub(crate) key_id: String,
}

/// The targets that connections choose from.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    pub(crate) untouched: Vec<Target>,
    pub(crate) changing: BTreeMap<Subject, Target>,
    pub(crate) revoked: VecDeque<Revoked>,
    pub(crate) limited: Option<Target>,
}

/// The number of events of each kind.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) decided: AtomicU64,
    pub(crate) not_ready: AtomicU64,
    pub(crate) broken: AtomicU64,
    pub(crate) incomplete: AtomicU64,
    pub(crate) unknown: AtomicU64,
    changes: Mutex<BTreeMap<&'static str, u64>>,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    /// The durations of complete changes.
    times: Mutex<Vec<Duration>>,
}

impl Figures {
    /// Notes that a change of this kind was answered as complete.
    pub(crate) fn changed(&self, kind: &'static str, took: Duration) {
        *lock(&self.changes).entry(kind).or_default() += 1;
        lock(&self.times).push(took);
    }

    /// Notes that a fault of this kind was made.
    pub(crate) fn fault(&self, kind: &'static str) {
        *lock(&self.faults).entry(kind).or_default() += 1;
    }

    pub(crate) fn changes(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.changes).clone()
    }

    pub(crate) fn faults(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.faults).clone()
    }

    /// Returns the durations of complete changes, from the shortest on.
    pub(crate) fn times(&self) -> Vec<Duration> {
        let mut times = lock(&self.times).clone();
        times.sort_unstable();
        times
    }
}

/// All parts of a trial. When it is dropped, every process ends.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) api: Api,
    pub(crate) nodes: Vec<Node>,
    pub(crate) control: tokio::sync::Mutex<Control>,
    /// A lock that each change in progress holds for reading. A fault that rolls the database back
    /// holds it for writing, and so knows which changes the database loses.
    pub(crate) gate: RwLock<()>,
    pub(crate) figures: Figures,
    /// True while only listeners are updated.
    pub(crate) calm: AtomicBool,
    pub(crate) faults_end: AtomicBool,
    pub(crate) changes_end: AtomicBool,
    pub(crate) load_ends: AtomicBool,
    model: Mutex<Model>,
    targets: Mutex<Targets>,
}

impl World {
    /// Starts all parts, and waits until the Envoys decide.
    pub(crate) async fn start(settings: Settings, dir: &Path) -> Result<Arc<Self>> {
        let other = dir.join("other");
        std::fs::create_dir(&other)?;
        let mut options = ControlPlaneOptions::on_free_ports(dir)?;
        options.node_grace = Some(settings.grace);
        let token = options.node_token.clone().unwrap_or_default();
        // The second database, which no connected Envoy knows.
        let mut second = ControlPlane::new(ControlPlaneOptions::on_free_ports(&other)?);
        second.start().await?;
        second.stop().await?;
        second.options().create_database = false;
        let mut control_plane = ControlPlane::new(options);
        control_plane.start().await?;
        control_plane.options().create_database = false;
        let api = Api::open(&control_plane).await?;
        let mut nodes = Vec::new();
        for number in 0..settings.envoys {
            let link = Link::start(control_plane.stream()).await?;
            let mut options = EnvoyOptions::new(filter()?, 9, link.address(), &token, dir);
            options.node_id = format!("envoy-{number}");
            options.answers_itself = true;
            options.lds = true;
            options.drain_time = Some(settings.drain);
            options.configuration =
                json!({ "max_staleness_seconds": settings.staleness.as_secs() });
            // Every second Envoy finds the other database when its control plane is away.
            if number % 2 == 1 {
                options.more_streams.push(second.stream());
            }
            nodes.push(Node::start(options, link).await?);
        }
        let control = Control::new(control_plane, second, dir);
        Ok(Arc::new(Self {
            settings,
            api,
            nodes,
            control: tokio::sync::Mutex::new(control),
            gate: RwLock::default(),
            figures: Figures::default(),
            calm: AtomicBool::new(true),
            faults_end: AtomicBool::new(false),
            changes_end: AtomicBool::new(false),
            load_ends: AtomicBool::new(false),
            model: Mutex::new(Model::new(Instant::now())),
            targets: Mutex::default(),
        }))
    }

    pub(crate) fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.model)
    }

    pub(crate) fn targets(&self) -> MutexGuard<'_, Targets> {
        lock(&self.targets)
    }

    /// Returns the target of the next request.
    pub(crate) fn pick(&self, rng: &mut SeededRng) -> Option<Target> {
        let targets = self.targets();
        let which = rng.below(4);
        if which == 0 && !targets.untouched.is_empty() {
            return Some(rng.pick(&targets.untouched).clone());
        }
        if which == 1 && !targets.revoked.is_empty() {
            return Some(
                targets.revoked[rng.below(targets.revoked.len())]
                    .target
                    .clone(),
            );
        }
        let changing = rng.below(targets.changing.len().max(1));
        targets.changing.values().nth(changing).cloned()
    }

    /// Returns the key whose limit is counted.
    pub(crate) fn limited(&self) -> Option<Target> {
        self.targets().limited.clone()
    }

    /// Keeps a revoked key as a target, until there are too many.
    pub(crate) fn archive(&self, revoked: Revoked) {
        let mut targets = self.targets();
        targets.changing.remove(&revoked.target.subject);
        targets.revoked.push_back(revoked);
        if targets.revoked.len() > REVOKED {
            targets.revoked.pop_front();
        }
    }

    /// Notes a violation.
    pub(crate) fn violated(&self, violation: Violation, text: String) {
        self.model().violated(violation, text);
    }

    /// Reports a step of the trial.
    pub(crate) fn say(&self, what: &str) {
        eprintln!("{:6.2} s: {what}", self.model().elapsed().as_secs_f64());
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Updates the revocations after the database has been rolled back, and runs again: those that
    /// it does not have are the operator's loss. The caller holds the gate for writing, and has
    /// called [`Model::forget_changes`].
    pub(crate) async fn look_up_revocations(&self) -> Result<()> {
        let archived: Vec<Revoked> = self.targets().revoked.iter().cloned().collect();
        let now = Instant::now();
        for revoked in archived {
            if self.api.revoked(&revoked.key_id).await? == Some(true) {
                self.model().closed(revoked.target.subject, now);
            } else {
                self.targets()
                    .revoked
                    .retain(|other| other.key_id != revoked.key_id);
            }
        }
        Ok(())
    }
}

/// Returns the filters between which updates of the code alternate. They differ in their record
/// formats.
pub(crate) fn filters() -> Result<[PathBuf; 2]> {
    Ok([filter()?, next_format_filter()?])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
