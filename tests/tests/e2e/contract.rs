//! The API answers any request as its description says: Schemathesis runs against a control plane
//! without nodes.

use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use latchkey_tests::{
    ControlPlane, ControlPlaneOptions, Process, eventually, schemathesis, workspace,
};

/// The time that a run may take. It takes about a minute, and longer on a busy machine.
const RUN: Duration = Duration::from_secs(600);

#[tokio::test]
async fn api_follows_its_description() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = ControlPlaneOptions::on_free_ports(dir.path()).unwrap();
    // It sends many more requests than people do, and each of its logins can come from a different
    // address.
    let settings = [
        ("LATCHKEY_CALLS_PER_MINUTE", "0"),
        ("LATCHKEY_TRUSTED_HOPS", "1"),
    ];
    options.environment = settings
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let mut control_plane = ControlPlane::new(options);
    control_plane.start().await.unwrap();
    let (email, password) = control_plane.credentials();
    let configuration = workspace().join("tests/schemathesis");
    let mut command = Command::new(schemathesis().unwrap());
    command
        .arg("--config-file")
        .arg(configuration.join("schemathesis.toml"))
        .args([
            "run",
            "--checks",
            "all",
            &control_plane.url("/openapi.json"),
        ])
        .env("SCHEMATHESIS_HOOKS", configuration.join("hooks.py"))
        .env("LATCHKEY_URL", control_plane.url(""))
        .env("LATCHKEY_ADMIN_EMAIL", email)
        .env("LATCHKEY_ADMIN_PASSWORD", password)
        // It writes its own files to its working directory, and none to the directory of the hooks.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(dir.path());
    let report = dir.path().join("report");
    let mut run = Process::spawn("Schemathesis", &mut command, &report, None).unwrap();
    let ended = eventually(RUN, async || run.exited().context("it still runs"))
        .await
        .unwrap();
    assert!(
        ended.success(),
        "{}",
        std::fs::read_to_string(&report).unwrap()
    );
}
