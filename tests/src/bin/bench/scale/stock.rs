//! Databases with a given number of keys, kept in `target/bench/` between runs: a million keys take
//! a minute to import.
//!
//! Their content depends on the schema and on how keys are made from their numbers. The folder's
//! name depends on both.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use latchkey_policy::key::KeyDigest;
use latchkey_tests::{ControlPlane, ControlPlaneOptions, workspace};

use crate::keys::{import, key};
use crate::requests::plain_key;

/// Starts a control plane on a copy of the stored database with this number of keys.
pub(crate) async fn control_plane(keys: usize, dir: &Path) -> Result<ControlPlane> {
    let stocked = stocked(keys).await?;
    let mut options = options(dir)?;
    std::fs::copy(&stocked, &options.database).with_context(|| stocked.display().to_string())?;
    options.node_grace = Some(std::time::Duration::from_millis(100));
    let mut control_plane = ControlPlane::new(options);
    control_plane.start().await?;
    Ok(control_plane)
}

fn options(dir: &Path) -> Result<ControlPlaneOptions> {
    std::fs::create_dir_all(dir)?;
    ControlPlaneOptions::on_free_ports(dir)
}

/// Returns the file with this number of keys, made from the next smaller one if it is missing.
async fn stocked(keys: usize) -> Result<PathBuf> {
    let stock = workspace().join("target/bench").join(form()?);
    std::fs::create_dir_all(&stock)?;
    let wanted = stock.join(format!("{keys}.db"));
    if wanted.exists() {
        return Ok(wanted);
    }
    let smaller = std::fs::read_dir(&stock)?
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str()?.parse().ok());
    let from: Option<usize> = smaller.filter(|there: &usize| *there < keys).max();

    let dir = tempfile::tempdir_in(&stock)?;
    let options = options(dir.path())?;
    let database = options.database.clone();
    if let Some(from) = from {
        std::fs::copy(stock.join(format!("{from}.db")), &database)?;
    }
    let mut control_plane = ControlPlane::new(options);
    control_plane.start().await?;
    let began = Instant::now();
    import(&control_plane, from.unwrap_or_default()..keys, plain_key).await?;
    // A regular stop leaves one file without a write-ahead log.
    control_plane.stop().await?;
    std::fs::rename(&database, &wanted)?;
    eprintln!(
        "  {keys} keys are in {} after {:.0} s",
        wanted.display(),
        began.elapsed().as_secs_f64()
    );
    Ok(wanted)
}

/// Returns a hash of the schema, of a key, and of the keys' attributes.
fn form() -> Result<String> {
    let mut migrations: Vec<_> =
        std::fs::read_dir(workspace().join("control-plane/store/migrations"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
    migrations.sort();
    let mut all = format!("{}{}", key(1).expose(), plain_key(1));
    for migration in migrations {
        all.push_str(&std::fs::read_to_string(migration)?);
    }
    Ok(format!("{:?}", KeyDigest::of(all.as_bytes()))
        .chars()
        .take(12)
        .collect())
}
