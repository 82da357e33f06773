//! The control plane and its database, and their faults.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{ControlPlane, SeededRng, eventually};
use tokio::sync::MutexGuard;
use tokio::time::sleep;

use crate::changes::RevokedKey;
use crate::envoys::Running;
use crate::finish;
use crate::model::Violation;
use crate::settings::{Deck, between};
use crate::world::World;

const MS: Duration = Duration::from_millis(1);

/// The time in which a history must overtake the lost one.
const OVERTAKING: Duration = Duration::from_secs(20);

/// The range of times for which a wrong database is in use: long enough for every Envoy to connect
/// to it.
const WRONG: [Duration; 2] = [Duration::from_millis(1_200), Duration::from_millis(2_500)];

/// The control plane, and another one with a different database that only runs as a fault.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) control_plane: ControlPlane,
    second: ControlPlane,
    dir: PathBuf,
    copies: u64,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Stop,
    Kill,
    Rollback,
    Removed,
    Foreign,
    Second,
    Restore,
}

const FAULTS: [Fault; 7] = [
    Fault::Stop,
    Fault::Kill,
    Fault::Rollback,
    Fault::Removed,
    Fault::Foreign,
    Fault::Second,
    Fault::Restore,
];

impl Fault {
    fn kind(self) -> &'static str {
        match self {
            Self::Stop => "control plane stopped",
            Self::Kill => "control plane killed",
            Self::Rollback => "database rolled back",
            Self::Removed => "database removed",
            Self::Foreign => "foreign database",
            Self::Second => "second endpoint",
            Self::Restore => "backup restored",
        }
    }
}

impl Control {
    pub(crate) fn new(control_plane: ControlPlane, second: ControlPlane, dir: &Path) -> Self {
        Self {
            control_plane,
            second,
            dir: dir.to_path_buf(),
            copies: 0,
        }
    }

    /// Copies the database's files while nobody writes, like a snapshot of the volume.
    fn copy_files(&mut self) -> Result<PathBuf> {
        self.copies += 1;
        let to = self.dir.join(format!("copy-{}", self.copies));
        std::fs::create_dir(&to)?;
        self.control_plane.process()?.pause()?;
        for file in self.files() {
            if file.exists() {
                std::fs::copy(&file, to.join(file.file_name().unwrap_or_default()))?;
            }
        }
        self.control_plane.process()?.resume()?;
        Ok(to)
    }

    /// Replaces the database's files by the copy.
    fn put_back(&mut self, copy: &Path) -> Result<()> {
        self.remove_files();
        for file in self.files() {
            let from = copy.join(file.file_name().unwrap_or_default());
            if from.exists() {
                std::fs::copy(from, file)?;
            }
        }
        Ok(std::fs::remove_dir_all(copy)?)
    }

    fn remove_files(&mut self) {
        for file in self.files() {
            // Some of these files may not exist.
            let _ = std::fs::remove_file(file);
        }
    }

    fn files(&mut self) -> [PathBuf; 3] {
        let database = self.control_plane.options().database.clone();
        ["", "-wal", "-shm"].map(|suffix| {
            let mut name = database.clone().into_os_string();
            name.push(suffix);
            name.into()
        })
    }
}

/// Makes faults at the control plane until faults end.
pub(crate) async fn faults(world: Arc<World>, mut rng: SeededRng) {
    let mut deck = Deck::new(&FAULTS);
    while !world.faults_end.load(Ordering::SeqCst) {
        sleep(world.settings.next_pause(&mut rng)).await;
        let Some(fault) = deck.draw(&mut rng) else {
            return;
        };
        world.say(fault.kind());
        world.figures.fault(fault.kind());
        if let Err(error) = make(fault, &world, &mut rng).await {
            world.violated(Violation::Broken, format!("{}: {error:#}", fault.kind()));
            return;
        }
    }
}

async fn make(fault: Fault, world: &World, rng: &mut SeededRng) -> Result<()> {
    let mut control = world.control.lock().await;
    match fault {
        Fault::Stop => {
            control.control_plane.process()?.pause()?;
            sleep(world.settings.next_stop(rng) / 2).await;
            control.control_plane.process()?.resume()
        }
        Fault::Kill => control.control_plane.restart().await,
        Fault::Rollback => roll_back(&mut control, world, rng).await,
        Fault::Removed => remove(&mut control, world, rng).await,
        Fault::Foreign => foreign(&mut control, world, rng).await,
        Fault::Second => second(&mut control, world, rng).await,
        Fault::Restore => restore(&mut control, world, rng).await,
    }
}

/// Rolls the database back while one Envoy is suspended. That Envoy comes back when the new history
/// has overtaken its revision. By then a key was revoked in the new history, under a number that
/// this Envoy has from the lost one.
async fn roll_back(control: &mut Control, world: &World, rng: &mut SeededRng) -> Result<()> {
    let revoked = RevokedKey::create(world, format!("rollback {}", control.copies)).await?;
    let gate = world.gate.write().await;
    let copy = control.copy_files()?;
    drop(gate);
    sleep(between(rng, 200 * MS, 700 * MS)).await;

    let node = &world.nodes[rng.below(world.nodes.len())];
    let mut running = node.envoy.lock().await;
    // An Envoy that is not current might have nothing of the history that is lost.
    finish::recover_nodes(world, std::slice::from_ref(node)).await;
    running.envoy.process().pause()?;
    let gate = world.gate.write().await;
    let lost = newest(world).await?;
    control.control_plane.kill();
    put_back_and_start(control, world, &copy).await?;
    revoked.begin(world).await;
    drop(gate);
    sleep(between(rng, 900 * MS, 1_800 * MS)).await;
    let overtaken = eventually(OVERTAKING, async || {
        ensure!(
            newest(world).await? > lost,
            "the new history is behind revision {lost}"
        );
        Ok(())
    });
    overtaken.await?;
    running.envoy.process().resume()?;
    drop(running);
    revoked.settle(world).await;
    Ok(())
}

/// Returns the newest revision.
async fn newest(world: &World) -> Result<u64> {
    world.api.get("/v1/nodes").await?["revision"]
        .as_u64()
        .context("nodes without a revision")
}

/// Removes the file while the control plane runs, and then kills it. It must not come up with an
/// empty database.
async fn remove(control: &mut Control, world: &World, rng: &mut SeededRng) -> Result<()> {
    let gate = world.gate.write().await;
    let copy = control.copy_files()?;
    control.remove_files();
    drop(gate);
    sleep(between(rng, 300 * MS, 1_000 * MS)).await;

    let _gate = world.gate.write().await;
    control.control_plane.kill();
    if control.control_plane.start().await.is_ok() {
        world.violated(
            Violation::Broken,
            "an empty database was created".to_owned(),
        );
        // Gives Envoys time to follow it.
        sleep(between(rng, WRONG[0], WRONG[1])).await;
        control.control_plane.kill();
    }
    put_back_and_start(control, world, &copy).await
}

async fn put_back_and_start(control: &mut Control, world: &World, copy: &Path) -> Result<()> {
    control.put_back(copy)?;
    world.model().forget_changes();
    control.control_plane.start().await?;
    world.look_up_revocations().await
}

/// Waits until each Envoy has a snapshot, and keeps it locked: an Envoy without a snapshot accepts
/// that of any database, and one that starts has none.
async fn hold_envoys(world: &World) -> Vec<MutexGuard<'_, Running>> {
    let mut held = Vec::new();
    for node in &world.nodes {
        held.push(node.envoy.lock().await);
    }
    finish::recover(world).await;
    held
}

/// Mounts the wrong volume for a while.
async fn foreign(control: &mut Control, world: &World, rng: &mut SeededRng) -> Result<()> {
    let _envoys = hold_envoys(world).await;
    let _gate = world.gate.write().await;
    let other = control.second.options().database.clone();
    let database = std::mem::replace(&mut control.control_plane.options().database, other);
    control.control_plane.restart().await?;
    sleep(between(rng, WRONG[0], WRONG[1])).await;
    control.control_plane.options().database = database;
    control.control_plane.restart().await
}

/// Stops the control plane while another one, with a different database, runs at another endpoint
/// of the Envoys' cluster.
async fn second(control: &mut Control, world: &World, rng: &mut SeededRng) -> Result<()> {
    let _envoys = hold_envoys(world).await;
    control.second.start().await?;
    control.control_plane.kill();
    sleep(between(rng, WRONG[0], WRONG[1])).await;
    control.control_plane.start().await?;
    // This is longer than the control plane waits for lost nodes: those that stay at the other
    // endpoint still count.
    sleep(world.settings.grace + between(rng, 300 * MS, 1_500 * MS)).await;
    control.second.stop().await?;
    Ok(())
}

async fn restore(control: &mut Control, world: &World, rng: &mut SeededRng) -> Result<()> {
    let gate = world.gate.write().await;
    control.copies += 1;
    let file = control.dir.join(format!("backup-{}.db", control.copies));
    let path = file
        .to_str()
        .context("a path that is not UTF-8")?
        .to_owned();
    control.control_plane.run("backup", &[&path])?;
    drop(gate);
    sleep(between(rng, 200 * MS, 1_000 * MS)).await;

    let _gate = world.gate.write().await;
    control.control_plane.kill();
    world.model().forget_changes();
    control.control_plane.run("restore", &[&path, "--force"])?;
    control.control_plane.start().await?;
    std::fs::remove_file(file)?;
    // `restore` has ended all sessions: the first call logs in.
    world.api.get("/v1/nodes").await?;
    world.look_up_revocations().await
}
