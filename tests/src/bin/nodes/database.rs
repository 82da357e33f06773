//! A database with a given number of keys: made once by the API, and copied for each run.

use std::fs::{self, File};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};
use latchkey_policy::key::{Environment, KeyFormat};
use latchkey_policy::record::FORMAT;
use latchkey_tests::{ControlPlane, ControlPlaneOptions, random_hex};
use serde::Serialize;
use serde_json::json;

use crate::usage::Usage;

/// The number of keys in one call: the maximum.
const BATCH: usize = 1_000;

/// The tiers of the keys, so that the keys have several policies.
const TIERS: [&str; 4] = ["free", "basic", "pro", "enterprise"];

/// The cost of importing the keys; none if that was in an earlier run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Import {
    pub(crate) seconds: f64,
    pub(crate) peak_rss_bytes: u64,
}

/// Writes a database with `keys` keys to the path in `options`.
pub(crate) async fn prepare(
    cache: &Path,
    keys: usize,
    options: &mut ControlPlaneOptions,
) -> Result<Option<Import>> {
    let kept = cache.join(format!("nodes-{keys}-keys-format-{FORMAT}.db"));
    let mut import = None;
    if !kept.exists() {
        eprintln!("importing {keys} keys into {}, once", kept.display());
        let partial = kept.with_added_extension("partial");
        for leftover in ["", "-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(beside(&partial, leftover));
        }
        let mut control_plane = ControlPlane::new(ControlPlaneOptions {
            database: partial.clone(),
            ..options.clone()
        });
        control_plane.start().await?;
        let began = Instant::now();
        fill(&control_plane, keys).await?;
        let seconds = began.elapsed().as_secs_f64();
        let peak_rss_bytes = Usage::for_process(control_plane.process()?.pid())?.peak_rss_bytes;
        import = Some(Import {
            seconds,
            peak_rss_bytes,
        });
        // Closing the database moves its write-ahead log into the file.
        control_plane.stop().await?;
        let _ = fs::remove_file(beside(&partial, ".lock"));
        fs::rename(&partial, &kept)?;
    }
    fs::copy(&kept, &options.database)
        .with_context(|| format!("cannot copy {}", kept.display()))?;
    // Otherwise the first commits wait for that.
    File::open(&options.database)?.sync_all()?;
    Ok(import)
}

async fn fill(control_plane: &ControlPlane, keys: usize) -> Result<()> {
    let format = KeyFormat::default();
    for first in (0..keys).step_by(BATCH) {
        let rows = (first..keys.min(first + BATCH)).map(|n| {
            let mut seed = random_hex(64)?.into_bytes();
            let fill = |bytes: &mut [u8]| {
                let rest = seed.split_off(bytes.len().min(seed.len()));
                bytes
                    .iter_mut()
                    .zip(&seed)
                    .for_each(|(to, from)| *to = *from);
                seed = rest;
                Ok::<_, std::convert::Infallible>(())
            };
            let Ok(key) = format.generate(Environment::Live, fill);
            Ok(json!({
                "name": format!("service {n}"),
                "sha256": format!("{:?}", key.digest()),
                "key_prefix": key.masked(),
                "tier": TIERS[n % TIERS.len()],
            }))
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        control_plane.import(rows.into()).await?;
    }
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(suffix);
    beside.into()
}
