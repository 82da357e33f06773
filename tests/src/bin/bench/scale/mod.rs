//! The cost of more keys at one Envoy and its control plane.

mod prober;
mod step;
mod stock;

use std::path::Path;

use anyhow::{Context as _, Result};
use latchkey_tests::{Envoy, EnvoyOptions};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::contest::{BARE, Contender, Contest, NATIVE, Rules};
use crate::cores::Cores;
use crate::process::resident_bytes;
use crate::report::thousands;
use crate::requests::{Latchkey, TARGETS, envoy_options, native_chain};
use crate::traffic::Traffic;
use prober::{Prober, Seen};
pub(crate) use step::Loaded;
use step::Revocations;

/// The number of keys in use, where only some are.
const IN_USE: usize = 1_000;

/// The largest number of keys for the native chain. It takes its keys as YAML, and with more of
/// them Envoy reads for minutes.
const MOST_NATIVE_KEYS: usize = 100_000;

pub(crate) const FEW: &str = "few";
pub(crate) const MANY: &str = "many";
pub(crate) const MANY_IN_USE: &str = "many_in_use";

/// The results of the section.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// The prober's results at an idle Envoy.
    pub(crate) quiet: Seen,
    /// The resident bytes of an Envoy with one key, with one worker and with four.
    pub(crate) empty: [f64; 2],
    pub(crate) steps: Vec<Step>,
    pub(crate) in_use: Option<InUse>,
}

/// The results for one number of keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) keys: usize,
    /// The results with one worker, and with four.
    pub(crate) loaded: [Loaded; 2],
    pub(crate) revocations: Revocations,
    pub(crate) control_plane_bytes: f64,
    /// The memory for each key of an Envoy with the native chain.
    pub(crate) native_bytes_per_key: Option<f64>,
}

/// Requests with the fewest and with the most keys.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InUse {
    pub(crate) fewest: usize,
    pub(crate) most: usize,
    /// The memory of the Envoy with the most keys, once each has been used.
    pub(crate) resident_bytes: f64,
    pub(crate) contest: Contest,
}

impl Scale {
    /// Returns the memory for each key, with one worker (0) or with four (1).
    pub(crate) fn bytes_per_key(&self, step: &Step, which: usize) -> f64 {
        per_key(
            step.loaded[which].resident_bytes.median,
            self.empty[which],
            step.keys,
        )
    }

    /// Returns the memory for each key that has been used.
    pub(crate) fn bytes_per_key_in_use(&self, in_use: &InUse) -> f64 {
        per_key(in_use.resident_bytes, self.empty[0], in_use.most)
    }
}

#[expect(clippy::cast_precision_loss, reason = "there are not that many")]
fn per_key(bytes: f64, empty: f64, keys: usize) -> f64 {
    (bytes - empty) / keys as f64
}

/// Measures each number of keys, and requests with the smallest and the largest number.
pub(crate) async fn measure(
    dir: &Path,
    cores: Cores,
    sizes: &[usize],
    loads: usize,
    revocations: usize,
    rules: Rules,
) -> Result<Scale> {
    let quiet = quiet(dir, cores).await?;
    let empty = empty(dir, cores).await?;
    let mut steps = Vec::new();
    for &keys in sizes {
        eprintln!("  {keys} keys");
        steps.push(
            step(
                &dir.join(format!("step-{keys}")),
                cores,
                keys,
                loads,
                revocations,
            )
            .await?,
        );
    }
    let (fewest, most) = (sizes.iter().min().copied(), sizes.iter().max().copied());
    let in_use = match (fewest, most) {
        (Some(fewest), Some(most)) if fewest < most => {
            Some(in_use(dir, cores, fewest, most, rules).await?)
        }
        _ => None,
    };
    Ok(Scale {
        quiet,
        empty,
        steps,
        in_use,
    })
}

/// Probes an idle Envoy without filters.
async fn quiet(dir: &Path, cores: Cores) -> Result<Seen> {
    let (envoy, _) = bare(dir, cores).await?;
    let prober = Prober::start(envoy.gateway());
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    prober.stop()
}

async fn bare(dir: &Path, cores: Cores) -> Result<(Envoy, f64)> {
    with_filters(dir, cores, String::new()).await
}

/// Starts an Envoy with these filters, and returns it with its resident bytes.
async fn with_filters(dir: &Path, cores: Cores, filters: String) -> Result<(Envoy, f64)> {
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
    let options = EnvoyOptions {
        http_filters: Some(filters),
        ..envoy_options(dir, cores, nowhere, "")?
    };
    let envoy = Envoy::start(&options).await?;
    #[expect(clippy::cast_precision_loss, reason = "there is not that much memory")]
    let bytes = step::settled(envoy.pid()).await? as f64;
    Ok((envoy, bytes))
}

/// Returns the resident bytes of an Envoy with one key, with one worker and with four.
async fn empty(dir: &Path, cores: Cores) -> Result<[f64; 2]> {
    let control_plane = stock::control_plane(1, &dir.join("empty")).await?;
    let mut bytes = [0.0; 2];
    for (workers, bytes) in [1, 4].into_iter().zip(&mut bytes) {
        let (_, loaded) = step::load(dir, cores, &control_plane, 1, workers, 1).await?;
        *bytes = loaded.resident_bytes.median;
    }
    Ok(bytes)
}

async fn step(
    dir: &Path,
    cores: Cores,
    keys: usize,
    loads: usize,
    revocations: usize,
) -> Result<Step> {
    let mut control_plane = stock::control_plane(keys, dir).await?;
    let (four, loaded_by_four) = step::load(dir, cores, &control_plane, keys, 4, loads).await?;
    drop(four);
    let (one, loaded_by_one) = step::load(dir, cores, &control_plane, keys, 1, loads).await?;
    let revocations = step::revoke(&control_plane, &one, keys, revocations).await?;
    let native_bytes_per_key = if keys <= MOST_NATIVE_KEYS {
        let (_, without) = with_filters(dir, cores, native_chain(1)).await?;
        let (_, with) = with_filters(dir, cores, native_chain(keys)).await?;
        Some(per_key(with, without, keys))
    } else {
        None
    };
    #[expect(clippy::cast_precision_loss, reason = "there is not that much memory")]
    let control_plane_bytes = resident_bytes(control_plane.process()?.pid())? as f64;
    Ok(Step {
        keys,
        loaded: [loaded_by_one, loaded_by_four],
        revocations,
        control_plane_bytes,
        native_bytes_per_key,
    })
}

/// Compares requests with `fewest` keys, with `most` keys of which few are used, and with `most`
/// keys of which all are used.
async fn in_use(
    dir: &Path,
    cores: Cores,
    fewest: usize,
    most: usize,
    rules: Rules,
) -> Result<InUse> {
    let (bare, _) = bare(dir, cores).await?;
    let (native, _) = with_filters(dir, cores, native_chain(IN_USE)).await?;
    let latchkey = async |id: &'static str, keys: usize| {
        let dir = dir.join(id);
        let control_plane = stock::control_plane(keys, &dir).await?;
        let no_headers = json!({ "rate_limit_headers": [] });
        Latchkey::follow(id, &dir, cores, control_plane, keys, no_headers).await
    };
    let few = latchkey(FEW, fewest).await?;
    let many = latchkey(MANY, most).await?;
    let all = latchkey(MANY_IN_USE, most).await?;

    let few_keys = || Traffic::new(&TARGETS, IN_USE.min(fewest));
    let of_few = format!("*plain* of {} keys", thousands(fewest));
    let of_many = format!(
        "*plain* of {} keys, of which {} are in use",
        thousands(most),
        thousands(IN_USE)
    );
    let of_all = format!(
        "*plain* of {} keys, of which all are in use",
        thousands(most)
    );
    let entries = [
        (BARE, "bare Envoy", &bare, few_keys()),
        (NATIVE, "native chain", &native, few_keys()),
        (FEW, of_few.as_str(), &few.envoy, few_keys()),
        (MANY, of_many.as_str(), &many.envoy, few_keys()),
        (
            MANY_IN_USE,
            of_all.as_str(),
            &all.envoy,
            Traffic::new(&TARGETS, most),
        ),
    ];
    let mut contenders = Vec::new();
    for (id, what, envoy, traffic) in entries {
        contenders.push(Contender::new(id, what, envoy, traffic, rules.connections)?);
    }
    let last = contenders.last_mut().context("nobody takes part")?;
    last.use_every_key().context("not every key passes")?;
    #[expect(clippy::cast_precision_loss, reason = "there is not that much memory")]
    let resident_bytes = step::settled(last.pid).await? as f64;
    Ok(InUse {
        fewest,
        most,
        resident_bytes,
        contest: Contest::hold(&mut contenders, rules)?,
    })
}
