//! The promise about revocations while parts fail: a short trial of `make chaos`.

use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::anyhow;
use latchkey_tests::{Process, chaos_binary, eventually};

/// The duration of faults in seconds: each kind happens about once.
const SECONDS: &str = "15";

/// The timeout of the trial, which ends long before.
const LIMIT: Duration = Duration::from_secs(240);

#[tokio::test]
async fn complete_changes_bind_under_faults() {
    let dir = tempfile::tempdir().unwrap();
    let (log, output) = (dir.path().join("chaos.log"), dir.path().join("chaos.txt"));
    let mut command = Command::new(chaos_binary().unwrap());
    command.args(["--duration", SECONDS]);
    let mut trial = Process::spawn("chaos", &mut command, &log, Some(&output)).unwrap();
    let ended = eventually(LIMIT, async || {
        trial.exited().ok_or_else(|| anyhow!("it runs"))
    })
    .await;
    let report = std::fs::read_to_string(&output).unwrap();
    println!("{report}");
    assert!(
        ended.as_ref().is_ok_and(ExitStatus::success),
        "{ended:?}\n{report}\n{}",
        trial.log()
    );
}
