//! `latchkey-chaos`: checks that the promise about revocations holds while parts of Latchkey fail.
//!
//! Several Envoys and a control plane run, connections send requests all the time, and keys, owners
//! and routes change. During that, processes are suspended and killed, listeners are updated, and
//! the database is rolled back, removed, exchanged and restored. Each change that is answered as
//! complete binds every request that starts after the answer, at every Envoy. The trial exits with
//! 1 if one request breaks that.

mod api;
mod changes;
mod control;
mod envoys;
mod finish;
mod load;
mod model;
mod settings;
mod world;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use latchkey_tests::{SeededRng, raise_file_limit, random_hex};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use crate::model::Violation;
use crate::settings::{Arguments, Settings};
use crate::world::World;

/// The interval between updates in a calm trial. It is longer than the old listener drains and a
/// lease is taken over.
const CALM_STEP: Duration = Duration::from_millis(1_800);

/// The time that changes and faults in progress may take to end.
const LAST_STEPS: Duration = Duration::from_secs(60);

/// The time that the start and the end may take in addition to the trial.
const AROUND: Duration = Duration::from_secs(240);

// It uses one thread: the children end with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("latchkey-chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool> {
    let arguments = Arguments::parse();
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => u64::from_str_radix(&random_hex(4)?, 16)?,
    };
    let settings = Settings::new(&arguments, seed);
    eprintln!("latchkey-chaos: seed {seed}");
    raise_file_limit()?;
    let mut dir = tempfile::Builder::new()
        .prefix("latchkey-chaos-")
        .tempdir()?;
    dir.disable_cleanup(arguments.keep);
    if arguments.keep {
        eprintln!("latchkey-chaos: everything is in {}", dir.path().display());
    }
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let limit = settings.duration + AROUND;
    let tasks = LocalSet::new();
    tokio::select! {
        world = timeout(limit, tasks.run_until(trial(settings, dir.path()))) => {
            let world = world.context("the trial does not end")??;
            Ok(finish::report(&world))
        }
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn trial(settings: Settings, dir: &std::path::Path) -> Result<Arc<World>> {
    let mut rng = SeededRng(settings.seed);
    let world = World::start(settings, dir).await?;
    let (mut load, mut changes, mut faults) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    changes::start(&world, &mut rng, &mut changes).await?;
    load::start(&world, world.settings.connections, rng.number(), &mut load);
    finish::recover(&world).await;

    calm(&world).await?;
    faults.spawn_local(control::faults(world.clone(), SeededRng(rng.number())));
    for number in 0..world.nodes.len() {
        faults.spawn_local(envoys::faults(
            world.clone(),
            number,
            SeededRng(rng.number()),
        ));
    }
    sleep(world.settings.duration).await;
    world.say("no more faults");
    world.faults_end.store(true, Ordering::SeqCst);
    end(&world, "faults", faults).await;
    finish::recover(&world).await;
    world.changes_end.store(true, Ordering::SeqCst);
    end(&world, "changes", changes).await;
    world.load_ends.store(true, Ordering::SeqCst);
    end(&world, "load", load).await;
    // An Envoy that does not recover would be reported again for each key.
    if finish::recover(&world).await {
        finish::verify(&world).await;
    }
    Ok(world)
}

/// Updates only listeners. First come configurations: no change may take longer because of these.
/// Then comes the code: the earlier filter is another node, and counts as lost until its staleness
/// limit where it could not say goodbye.
async fn calm(world: &World) -> Result<()> {
    sleep(Duration::from_secs(1)).await;
    for round in 0..3 {
        let kind = if round < 2 {
            "configuration updated"
        } else {
            "code updated"
        };
        world.calm.store(round < 2, Ordering::SeqCst);
        for node in &world.nodes {
            world.say(&format!("{}: {kind}, calm", node.name));
            world.figures.fault(kind);
            if round < 2 {
                node.update_configuration(world).await?;
            } else {
                node.update_code().await?;
            }
        }
        sleep(world.settings.drain + CALM_STEP).await;
    }
    Ok(())
}

async fn end(world: &World, what: &str, mut tasks: JoinSet<()>) {
    let ended = timeout(LAST_STEPS, async {
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                world.violated(Violation::Broken, format!("{what}: {error}"));
            }
        }
    });
    if ended.await.is_err() {
        world.violated(Violation::Broken, format!("{what} do not end"));
    }
}
