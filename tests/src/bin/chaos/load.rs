//! Requests on many keep-alive connections to each Envoy. They report each decision to the model.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use latchkey_tests::{Answer, Connection, SeededRng};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::model::{Decision, WINDOW};
use crate::world::{Target, World};

/// The pause between two requests on a connection.
const PAUSE: Duration = Duration::from_millis(40);

/// The timeout of an answer. It is longer than an Envoy is suspended.
const ANSWER: Duration = Duration::from_secs(15);

/// The interval of requests for the limited key.
const LIMITED_ONE_IN: usize = 40;

/// Opens `connections` connections to each Envoy.
pub(crate) fn start(world: &Arc<World>, connections: usize, seed: u64, tasks: &mut JoinSet<()>) {
    for envoy in 0..world.nodes.len() {
        for connection in 0..connections {
            let rng =
                SeededRng(seed ^ (u64::try_from(envoy * 1_000 + connection).unwrap_or(0) << 20));
            tasks.spawn_local(connect(world.clone(), envoy, rng));
        }
    }
}

async fn connect(world: Arc<World>, envoy: usize, mut rng: SeededRng) {
    let mut open: Option<(std::net::SocketAddr, Connection)> = None;
    while !world.load_ends.load(Ordering::SeqCst) {
        sleep(PAUSE).await;
        let Some(address) = world.nodes[envoy].address() else {
            continue;
        };
        if open.as_ref().is_none_or(|(to, _)| *to != address) {
            open = Some((address, Connection::to(address)));
        }
        let Some((_, connection)) = &mut open else {
            continue;
        };
        let limited = rng.once_in(LIMITED_ONE_IN);
        let target = if limited {
            world.limited()
        } else {
            world.pick(&mut rng)
        };
        let Some(target) = target else { continue };
        if !ask(&world, envoy, connection, &target, limited).await {
            open = None;
        }
    }
}

/// Sends one request. Returns false if the connection is no longer usable.
async fn ask(
    world: &World,
    envoy: usize,
    connection: &mut Connection,
    target: &Target,
    limited: bool,
) -> bool {
    let start = Instant::now();
    let window = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        / WINDOW.as_secs();
    let answer = timeout(ANSWER, connection.send(&target.request)).await;
    let Ok(Ok(answer)) = answer else {
        world.figures.broken.fetch_add(1, Ordering::Relaxed);
        return false;
    };
    let Some(decision) = decision(&answer) else {
        world.figures.not_ready.fetch_add(1, Ordering::Relaxed);
        return true;
    };
    world.figures.decided.fetch_add(1, Ordering::Relaxed);
    let mut model = world.model();
    if !limited {
        model.decided(target.subject, start, envoy, decision);
    } else if decision == Decision::Admitted {
        model.counted(window);
    }
    true
}

/// Returns the decision; none if Envoy, or a filter that is not ready, refused the request.
pub(crate) fn decision(answer: &Answer) -> Option<Decision<'_>> {
    match answer.status {
        200 => Some(Decision::Admitted),
        401 | 403 | 429 if !answer.code().is_empty() => Some(Decision::Refused(answer.code())),
        _ => None,
    }
}
