//! The end of a trial: every part runs again, and every Envoy decides according to the last
//! changes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use latchkey_tests::{Connection, eventually};
use tokio::time::{sleep_until, timeout};

use crate::changes::LIMIT;
use crate::envoys::Node;
use crate::load::decision;
use crate::model::{Decision, Expectation, Violation};
use crate::world::{Target, World};

/// The time that nodes may take to be current once all faults have ended.
const RECOVERY: Duration = Duration::from_secs(30);

/// The timeout of a probe.
const PROBE: Duration = Duration::from_secs(5);

/// The largest number of requests that a killed Envoy has admitted and not reported.
const UNREPORTED: u64 = 30;

/// The number of new connections on which an Envoy has to decide before it counts as recovered. Its
/// workers share a snapshot, and a replaced listener may take one more.
const PROBES: usize = 4;

/// Waits until each Envoy is connected, has the newest revision, and decides by it on new
/// connections: a filter that has just replaced another may be without a snapshot while the former
/// one is still connected. Returns false if that takes too long, which is a violation.
pub(crate) async fn recover(world: &World) -> bool {
    recover_nodes(world, &world.nodes).await
}

/// Does the same for some Envoys.
pub(crate) async fn recover_nodes(world: &World, recovering: &[Node]) -> bool {
    let recovered = eventually(RECOVERY, async || {
        let answer = world.api.get("/v1/nodes").await?;
        let nodes = answer["nodes"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        for node in recovering {
            let current = nodes.iter().any(|shown| {
                shown["node_id"] == node.name.as_str()
                    && shown["connected"] == true
                    && shown["lag"] == 0
            });
            ensure!(current, "{} is not current: {answer}", node.name);
            decides(world, node).await?;
        }
        Ok(())
    });
    let recovered = recovered.await;
    if let Err(error) = &recovered {
        world.violated(
            Violation::Broken,
            format!("the nodes do not recover: {error:#}"),
        );
    }
    recovered.is_ok()
}

async fn decides(world: &World, node: &Node) -> Result<()> {
    let Some(untouched) = world.targets().untouched.first().cloned() else {
        return Ok(());
    };
    let address = node
        .address()
        .with_context(|| format!("{} does not run", node.name))?;
    for _ in 0..PROBES {
        let answer = timeout(PROBE, Connection::to(address).send(&untouched.request)).await??;
        ensure!(
            decision(&answer).is_some(),
            "{} answers {}",
            node.name,
            answer.status
        );
    }
    Ok(())
}

/// Checks every Envoy against the last changes, and the database against the revocations.
pub(crate) async fn verify(world: &World) {
    let targets = {
        let targets = world.targets();
        let revoked = targets.revoked.iter().map(|revoked| &revoked.target);
        targets
            .untouched
            .iter()
            .chain(targets.changing.values())
            .chain(revoked)
            .cloned()
            .collect::<Vec<_>>()
    };
    for target in targets {
        if let Err(error) = verify_target(world, &target).await {
            let text = format!("{}: {error:#}", world.model().name(target.subject));
            world.violated(Violation::Differs, text);
        }
    }
    let revoked = world.targets().revoked.clone();
    for revoked in revoked {
        let found = world.api.revoked(&revoked.key_id).await;
        if !matches!(found, Ok(Some(true))) {
            world.violated(
                Violation::RevocationLost,
                format!("{}: {found:?}", revoked.key_id),
            );
        }
    }
    verify_limit(world);
}

async fn verify_target(world: &World, target: &Target) -> Result<()> {
    let expectation = world.model().expectation(target.subject);
    // The expiry may be in the future.
    if let Expectation::Closed(at) = expectation {
        sleep_until(at.into()).await;
    }
    let mut decisions = Vec::new();
    for node in &world.nodes {
        let Some(address) = node.address() else {
            continue;
        };
        let mut connection = Connection::to(address);
        let answer = eventually(RECOVERY, async || {
            let answer = connection.send(&target.request).await?;
            ensure!(decision(&answer).is_some(), "{} is not ready", node.name);
            Ok(answer)
        });
        let answer = answer.await?;
        decisions.push(answer.code().to_owned());
        let admitted = decision(&answer) == Some(Decision::Admitted);
        match expectation {
            Expectation::Open(_) | Expectation::Untouched => {
                ensure!(admitted, "{}: {}", node.name, answer.code());
            }
            Expectation::Closed(_) => ensure!(!admitted, "admitted by {}", node.name),
            Expectation::Unknown => {}
        }
    }
    decisions.dedup();
    ensure!(decisions.len() <= 1, "the Envoys answer {decisions:?}");
    Ok(())
}

/// Checks the limit. Its bound across Envoys is far below twice the limit here, and a killed Envoy
/// loses counts.
fn verify_limit(world: &World) {
    let faults = world.figures.faults();
    let ended: u64 = ["Envoy killed", "Envoy restarted"]
        .iter()
        .filter_map(|kind| faults.get(kind))
        .sum();
    let windows = world.model().limited().clone();
    for (window, admitted) in windows {
        if admitted > 2 * LIMIT + UNREPORTED * ended {
            let text = format!("{admitted} of {LIMIT} a minute, window {window}");
            world.violated(Violation::LimitVoid, text);
        }
    }
}

/// Prints the results. Returns true if there were no violations.
pub(crate) fn report(world: &World) -> bool {
    let figures = &world.figures;
    let listed = |counts: &std::collections::BTreeMap<&'static str, u64>| {
        let listed: Vec<_> = counts
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        format!("{}: {}", counts.values().sum::<u64>(), listed.join(", "))
    };
    let settings = &world.settings;
    println!("seed        {}", settings.seed);
    println!(
        "trial       {} s, {} Envoys with 2 workers each, {} connections each",
        settings.duration.as_secs(),
        settings.envoys,
        settings.connections
    );
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    println!("changes     {}", listed(&figures.changes()));
    let times = figures.times();
    if let (Some(median), Some(longest)) = (times.get(times.len() / 2), times.last()) {
        let p99 = times[times.len() * 99 / 100];
        println!("            complete: median {median:.1?}, p99 {p99:.1?}, longest {longest:.1?}");
    }
    let (incomplete, unknown) = (count(&figures.incomplete), count(&figures.unknown));
    println!(
        "            {incomplete} answers were not complete, {unknown} calls had no answer; all were repeated"
    );
    let (decided, not_ready, broken) = (
        count(&figures.decided),
        count(&figures.not_ready),
        count(&figures.broken),
    );
    println!("requests    {decided} decided, {not_ready} not ready, {broken} broken connections");
    let limited: Vec<_> = world
        .model()
        .limited()
        .values()
        .map(u64::to_string)
        .collect();
    println!(
        "            admitted of {LIMIT} a minute, by minute: {}",
        limited.join(", ")
    );
    println!("faults      {}", listed(&figures.faults()));
    let model = world.model();
    let violations = model.violations();
    println!("violations  {}", violations.values().sum::<u64>());
    for (kind, count) in violations {
        println!("            {count} {kind}");
    }
    for text in model.described() {
        println!("  {text}");
    }
    violations.is_empty()
}
