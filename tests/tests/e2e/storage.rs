//! Faults of the database's file and its disk while the control plane runs, or before it starts.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use latchkey_tests::{ControlPlane, Gateway, eventually};
use serde_json::{Value, json};

/// The size of a page of SQLite's, in bytes.
const PAGE: u64 = 4096;

/// A limit longer than readiness takes to notice a fault.
const SOON: Duration = Duration::from_secs(20);

/// Returns the status of a probe, and the reason in its answer.
async fn probe(control_plane: &ControlPlane, path: &str) -> Result<(u16, String)> {
    let response = latchkey_tests::http_client()
        .get(control_plane.url(path))
        .send()
        .await?;
    let status = response.status().as_u16();
    let body: Value = response.json().await?;
    Ok((
        status,
        body["error"].as_str().unwrap_or_default().to_owned(),
    ))
}

async fn becomes(control_plane: &ControlPlane, path: &str, status: u16) -> String {
    let became = eventually(SOON, async || {
        let (is, reason) = probe(control_plane, path).await?;
        ensure!(is == status, "{path} answers {is}: {reason}");
        Ok(reason)
    });
    became.await.unwrap()
}

#[tokio::test]
async fn removed_database_loses_no_acknowledged_change() {
    let mut gateway = Gateway::builder()
        .control_plane(|options| options.create_database = true)
        .start()
        .await;
    let kept = gateway
        .control_plane
        .create_key(json!({ "name": "kept" }))
        .await
        .unwrap();
    let database = gateway.control_plane.options().database.clone();
    let aside = database.with_file_name("aside.db");
    std::fs::rename(&database, &aside).unwrap();

    let refused = gateway
        .control_plane
        .create_key(json!({ "name": "lost" }))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("503"), "{refused}");
    let refused = gateway
        .control_plane
        .revoke(&kept.key_id)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("503"), "{refused}");
    let reason = becomes(&gateway.control_plane, "/readyz", 503).await;
    assert!(reason.contains("was removed"), "{reason}");
    assert_eq!(
        probe(&gateway.control_plane, "/readyz/stream")
            .await
            .unwrap()
            .0,
        200
    );
    assert_eq!(gateway.ask("/", Some(&kept.api_key)).await.status, 200);

    // A restart does not create an empty database instead.
    gateway.control_plane.kill();
    gateway.control_plane.options().create_database = false;
    let refused = gateway.control_plane.start().await.unwrap_err();
    assert!(
        format!("{refused:#}").contains("no database exists at"),
        "{refused:#}"
    );
    assert_eq!(
        gateway.ask("/", Some(&kept.api_key)).await.status,
        200,
        "Envoy goes on with what it has"
    );
    std::fs::rename(&aside, &database).unwrap();
    gateway.control_plane.start().await.unwrap();
    becomes(&gateway.control_plane, "/readyz", 200).await;
    assert_eq!(gateway.ask("/", Some(&kept.api_key)).await.status, 200);
}

/// A small separate file system, which is unmounted when it is dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounts a file system. Returns `None` if the test has no permission to mount one.
    fn mount(path: &Path, bytes: u64) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(path)
            .status();
        mounted
            .is_ok_and(|status| status.success())
            .then(|| Self(path.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test]
async fn full_disk_fails_api_readiness_only() {
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&directory.path().join("disk"), 8 * 1024 * 1024) else {
        eprintln!("skipped: this user may not mount a small file system");
        return;
    };
    let database = disk.0.join("latchkey.db");
    let gateway = Gateway::builder()
        .control_plane(move |options| options.database = database)
        .start()
        .await;
    let kept = gateway
        .control_plane
        .create_key(json!({ "name": "kept" }))
        .await
        .unwrap();
    becomes(&gateway.control_plane, "/readyz", 200).await;
    // Fills the disk until nothing more can be written.
    let filler = disk.0.join("filler");
    let _ = std::fs::write(&filler, vec![0; 16 * 1024 * 1024]);
    let reason = becomes(&gateway.control_plane, "/readyz", 503).await;
    assert!(!reason.is_empty());
    assert_eq!(
        probe(&gateway.control_plane, "/readyz/stream")
            .await
            .unwrap()
            .0,
        200
    );
    assert_eq!(gateway.ask("/", Some(&kept.api_key)).await.status, 200);
    let new = gateway.another_envoy("edge-2").await;
    assert!(new.is_ok(), "nodes are served: {:?}", new.err());
    std::fs::remove_file(&filler).unwrap();
    becomes(&gateway.control_plane, "/readyz", 200).await;
    gateway
        .control_plane
        .create_key(json!({ "name": "after" }))
        .await
        .unwrap();
}

/// The file looks whole, but its newest pages are damaged. Reads and writes that need them fail.
#[tokio::test]
async fn damaged_pages_fail_readiness() {
    let mut gateway = Gateway::start().await;
    let kept = gateway
        .control_plane
        .create_key(json!({ "name": "kept" }))
        .await
        .unwrap();
    for number in 0..200 {
        gateway
            .control_plane
            .create_key(json!({ "name": format!("filler {number}") }))
            .await
            .unwrap();
    }
    // All pages are in the file itself once it has stopped.
    gateway.control_plane.stop().await.unwrap();
    let database = gateway.control_plane.options().database.clone();
    gateway.control_plane.start().await.unwrap();
    becomes(&gateway.control_plane, "/readyz", 200).await;

    let file = OpenOptions::new().write(true).open(&database).unwrap();
    let len = file.metadata().unwrap().len();
    // These pages come after the schema, which open connections have in memory.
    for page in (len / PAGE / 4)..(len / PAGE) {
        file.write_all_at(&[0xa5; 4096], page * PAGE).unwrap();
    }
    let damaged = eventually(SOON, async || {
        // Calls meet the damage; their answers do not matter here.
        let _ = gateway.control_plane.get("/v1/keys?search=filler").await;
        let (status, reason) = probe(&gateway.control_plane, "/readyz").await?;
        ensure!(status == 503, "/readyz answers {status}");
        Ok(reason)
    });
    let reason = damaged.await.unwrap();
    assert!(!reason.is_empty());
    assert_eq!(
        gateway.ask("/", Some(&kept.api_key)).await.status,
        200,
        "Envoy goes on with what it has"
    );
}
