//! The paths of the programs and files that run: built by `make`, found here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};

/// Returns the root of the checkout.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}

/// Returns the control plane's binary, from the same build as this one.
///
/// # Errors
/// Fails when it was not built.
pub fn latchkey_binary() -> Result<PathBuf> {
    built(profile_dir()?.join("latchkey"))
}

/// Returns the load tool of many nodes, in the directory of the running binary.
///
/// # Errors
/// Fails when it was not built.
pub fn nodes_binary() -> Result<PathBuf> {
    built(profile_dir()?.join("latchkey-nodes"))
}

/// Returns the trial with faults, in the directory of the running binary.
///
/// # Errors
/// Fails when it was not built.
pub fn chaos_binary() -> Result<PathBuf> {
    built(profile_dir()?.join("latchkey-chaos"))
}

/// Returns the filter.
///
/// # Errors
/// Fails when it was not built.
pub fn filter() -> Result<PathBuf> {
    wasm("latchkey_filter.wasm")
}

/// Returns the filter with its test-only feature `fault`.
///
/// # Errors
/// Fails when it was not built.
pub fn faulty_filter() -> Result<PathBuf> {
    wasm("latchkey_filter_fault.wasm")
}

/// Returns the filter with its test-only feature `next-format`: another record format, as a later
/// release may have.
///
/// # Errors
/// Fails when it was not built.
pub fn next_format_filter() -> Result<PathBuf> {
    wasm("latchkey_filter_next_format.wasm")
}

/// Returns a filter that does nothing, for comparison.
///
/// # Errors
/// Fails when it was not built.
pub fn empty_filter() -> Result<PathBuf> {
    wasm("latchkey_empty_filter.wasm")
}

/// Returns a filter that makes the host calls of a request that passes, for comparison.
///
/// # Errors
/// Fails when it was not built.
pub fn floor_filter() -> Result<PathBuf> {
    wasm("latchkey_floor_filter.wasm")
}

/// Returns Envoy, as `ENVOY` and `ENVOY_VERSION` choose it. Installs it if it is missing.
///
/// # Errors
/// Fails with the message of `envoy/install`.
pub fn envoy_binary() -> Result<PathBuf> {
    static ENVOY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let install = || installed("envoy/install").map_err(|error| format!("{error:#}"));
    ENVOY
        .get_or_init(install)
        .clone()
        .map_err(|error| anyhow!(error))
}

/// Returns Schemathesis, as `SCHEMATHESIS` chooses it. Installs it if it is missing.
///
/// # Errors
/// Fails with the message of `tests/schemathesis/install`.
pub fn schemathesis() -> Result<PathBuf> {
    installed("tests/schemathesis/install")
}

/// Returns Chromium and chromedriver, as `CHROMIUM` and `CHROMEDRIVER` choose them. Installs them
/// if they are missing.
///
/// # Errors
/// Fails with the message of `tests/browser/install`.
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

/// Returns the script of axe-core, as `AXE` chooses it. Installs it if it is missing.
///
/// # Errors
/// Fails with the message of `tests/axe/install`.
pub fn axe_script() -> Result<PathBuf> {
    installed("tests/axe/install")
}

/// Runs an install script of the checkout, and returns the path that it prints.
fn installed(script: &str) -> Result<PathBuf> {
    printed(script).map(PathBuf::from)
}

/// Runs a script of the checkout, and returns its output without the last line break.
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

/// Returns Cargo's directory of the running binary's profile, such as `target/release`.
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
        "{} is not there: `make build-tools` builds it",
        path.display()
    );
    Ok(path)
}
