//! Where the things are that run: built by `make`, found here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};

/// The root of the checkout.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// The control plane's binary, from the same build as this one.
///
/// # Errors
/// When it was not built.
pub fn latchkey_binary() -> Result<PathBuf> {
    built(profile_dir()?.join("latchkey"))
}

/// The load tool of many nodes, beside the running binary.
///
/// # Errors
/// When it was not built.
pub fn nodes_binary() -> Result<PathBuf> {
    built(profile_dir()?.join("latchkey-nodes"))
}

/// The trial with faults, beside the running binary.
///
/// # Errors
/// When it was not built.
pub fn chaos_binary() -> Result<PathBuf> {
    built(profile_dir()?.join("latchkey-chaos"))
}

/// The filter.
///
/// # Errors
/// When it was not built.
pub fn filter() -> Result<PathBuf> {
    wasm("latchkey_filter.wasm")
}

/// The filter with its test-only feature `fault`.
///
/// # Errors
/// When it was not built.
pub fn faulty_filter() -> Result<PathBuf> {
    wasm("latchkey_filter_fault.wasm")
}

/// The filter with its test-only feature `next-format`: another record format, as a later release
/// may have.
///
/// # Errors
/// When it was not built.
pub fn next_format_filter() -> Result<PathBuf> {
    wasm("latchkey_filter_next_format.wasm")
}

/// A filter that does nothing, for comparison.
///
/// # Errors
/// When it was not built.
pub fn empty_filter() -> Result<PathBuf> {
    wasm("latchkey_empty_filter.wasm")
}

/// A filter that makes the host calls of a request that passes, for comparison.
///
/// # Errors
/// When it was not built.
pub fn floor_filter() -> Result<PathBuf> {
    wasm("latchkey_floor_filter.wasm")
}

/// Envoy, as `ENVOY` and `ENVOY_VERSION` choose it; installed when it is not there.
///
/// # Errors
/// What `envoy/install` says.
pub fn envoy_binary() -> Result<PathBuf> {
    static ENVOY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let install = || installed("envoy/install").map_err(|error| format!("{error:#}"));
    ENVOY
        .get_or_init(install)
        .clone()
        .map_err(|error| anyhow!(error))
}

/// Schemathesis, as `SCHEMATHESIS` chooses it; installed when it is not there.
///
/// # Errors
/// What `tests/schemathesis/install` says.
pub fn schemathesis() -> Result<PathBuf> {
    installed("tests/schemathesis/install")
}

/// Chromium and chromedriver, as `CHROMIUM` and `CHROMEDRIVER` choose them; installed when they are
/// not there.
///
/// # Errors
/// What `tests/browser/install` says.
pub fn browser_binaries() -> Result<(PathBuf, PathBuf)> {
    static BROWSER: OnceLock<Result<(PathBuf, PathBuf), String>> = OnceLock::new();
    let install = || {
        let printed = printed("tests/browser/install").map_err(|error| format!("{error:#}"))?;
        let (browser, driver) = printed
            .split_once('\n')
            .ok_or("tests/browser/install printed one path alone")?;
        Ok((browser.into(), driver.into()))
    };
    BROWSER
        .get_or_init(install)
        .clone()
        .map_err(|error| anyhow!(error))
}

/// The script of axe-core, as `AXE` chooses it; installed when it is not there.
///
/// # Errors
/// What `tests/axe/install` says.
pub fn axe_script() -> Result<PathBuf> {
    installed("tests/axe/install")
}

/// What a script of the checkout installs, by the path that it prints.
fn installed(script: &str) -> Result<PathBuf> {
    printed(script).map(PathBuf::from)
}

/// What a script of the checkout prints, without the last end of a line.
fn printed(script: &str) -> Result<String> {
    let mut command = Command::new(workspace().join(script));
    let output = command
        .current_dir(workspace())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = output.with_context(|| format!("cannot run {script}"))?;
    ensure!(
        output.status.success(),
        "{script} failed, and said why, just above"
    );
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

fn wasm(file: &str) -> Result<PathBuf> {
    let target = profile_dir()?
        .parent()
        .map(Path::to_path_buf)
        .unwrap_or_default();
    built(target.join("wasm32-unknown-unknown/release").join(file))
}

/// Cargo's directory of the running binary's profile, such as `target/release`.
fn profile_dir() -> Result<PathBuf> {
    let running = std::env::current_exe().context("the running binary's own path")?;
    let dir = running.parent().context("the running binary's directory")?;
    // Tests run from `deps`, binaries from the profile's directory itself.
    Ok(if dir.ends_with("deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    }
    .to_path_buf())
}

fn built(path: PathBuf) -> Result<PathBuf> {
    ensure!(
        path.exists(),
        "{} is not there: `make build` builds it",
        path.display()
    );
    Ok(path)
}
