//! A real browser: headless Chromium with its own profile, driven by WebDriver. The actions of a
//! person are in `page.rs`, `travel.rs` and `keyboard.rs`, the person's preferences in `reader.rs`,
//! and the requirements on pages in `audit.rs`.

mod audit;
mod keyboard;
mod page;
mod reader;
mod travel;

pub use audit::Finding;
pub use keyboard::keys;
pub use reader::Scheme;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::geteuid;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{Capabilities, WebDriver};

use crate::api::http_client;
use crate::paths::browser_binaries;
use crate::process::{Process, read_lossy};
use crate::wait::eventually;

/// The time that the browser may take to start, on a busy machine.
const START: Duration = Duration::from_secs(30);

/// The message of chromedriver when its port is taken: it picks a port that is free on one loopback
/// address, and needs the same port on the other.
const PORT_TAKEN: &str = "Address already in use";
const MOST_TRIES: u32 = 10;

/// The width and height of a page, in pixels.
pub type Size = (u32, u32);

const SIZE: Size = (1280, 900);

/// A browser with one window, which shows the pages of one site. It ends when it is dropped.
#[derive(Debug)]
pub struct Browser {
    site: String,
    /// The driver; none only while the browser ends.
    driver: Option<WebDriver>,
    process: Process,
    profile: TempDir,
}

impl Browser {
    /// Starts a browser for `site`, such as `http://127.0.0.1:8080`.
    ///
    /// # Panics
    /// Panics when it does not come up.
    pub async fn start(site: String) -> Self {
        Self::try_start(site).await.unwrap()
    }

    /// Starts a browser for `site`.
    ///
    /// # Errors
    /// Fails when it does not come up.
    pub async fn try_start(site: String) -> Result<Self> {
        let (chromium, chromedriver) = browser_binaries()?;
        let profile = tempfile::Builder::new()
            .prefix("latchkey-browser-")
            .tempdir()?;
        let mut tries = 1;
        let (process, port) = loop {
            match start_driver(&chromedriver, profile.path(), tries).await {
                Err(error) if tries < MOST_TRIES && format!("{error:#}").contains(PORT_TAKEN) => {
                    tries += 1;
                }
                started => break started.context("chromedriver does not start")?,
            }
        };
        let driver = WebDriver::builder(
            format!("http://127.0.0.1:{port}"),
            capabilities(&chromium, profile.path())?,
        )
        .client(http_client())
        .await
        .context("Chromium does not start")?;
        let browser = Self {
            site,
            driver: Some(driver),
            process,
            profile,
        };
        browser.resize(SIZE).await?;
        let downloads = json!({ "behavior": "allow", "downloadPath": browser.downloads() });
        browser
            .devtools("Browser.setDownloadBehavior", downloads)
            .await?;
        Ok(browser)
    }

    /// Returns the page as a PNG at the window's width. It shows the whole page, up to the height
    /// `highest`.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn picture(&self, (width, height): Size, highest: u32) -> Result<Vec<u8>> {
        self.resize((width, height)).await?;
        let full = self
            .run("return document.documentElement.scrollHeight", vec![])
            .await?;
        let full = u32::try_from(full.as_u64().unwrap_or_default()).unwrap_or(highest);
        self.resize((width, full.clamp(height, highest.max(height))))
            .await?;
        let picture = self.driver()?.screenshot_as_png().await?;
        self.resize((width, height)).await?;
        Ok(picture)
    }

    /// Runs a script as the body of a function, regardless of the page's policy, and waits for the
    /// promise that it returns.
    ///
    /// # Errors
    /// Fails when the script throws.
    pub async fn run(&self, script: &str, arguments: Vec<Value>) -> Result<Value> {
        Ok(self
            .driver()?
            .execute(script, arguments)
            .await?
            .json()
            .clone())
    }

    /// The directory where it saves files.
    fn downloads(&self) -> PathBuf {
        self.profile.path().join("downloads")
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        Ok(self.driver()?.cdp().send_raw(command, parameters).await?)
    }

    fn driver(&self) -> Result<&WebDriver> {
        self.driver.as_ref().context("the browser has ended")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session needs no orderly end: all processes of the browser end with chromedriver's
        // group.
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
        self.process.kill();
    }
}

/// Starts chromedriver, and returns the port on which it listens.
async fn start_driver(chromedriver: &Path, profile: &Path, tries: u32) -> Result<(Process, u16)> {
    let mut command = Command::new(chromedriver);
    // It neither reads nor leaves any file of the user.
    command
        .args(["--port=0", "--log-level=SEVERE"])
        .env("HOME", profile)
        .env("TMPDIR", profile);
    for variable in [
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "DISPLAY",
    ] {
        command.env_remove(variable);
    }
    let log = profile.join(format!("chromedriver-{tries}.log"));
    let mut process = Process::spawn("chromedriver", &mut command, &log, None)?;
    let port = eventually(START, async || {
        process.still_running()?;
        port_in(&read_lossy(&log)).context("it has not said on which port it listens")
    });
    let port = port.await?;
    Ok((process, port))
}

fn capabilities(chromium: &Path, profile: &Path) -> Result<Capabilities> {
    let mut arguments = vec![
        "--headless=new".to_owned(),
        format!("--user-data-dir={}", profile.join("chromium").display()),
        format!("--window-size={},{}", SIZE.0, SIZE.1),
        // Uses a pipe, so that Chromium ends with chromedriver however that ends.
        "--remote-debugging-pipe".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-gpu".to_owned(),
        "--lang=en-US".to_owned(),
        "--hide-scrollbars".to_owned(),
        // Draws letters without coloured edges, which make pictures large and depend on the screen.
        "--disable-lcd-text".to_owned(),
        // Allows no traffic to any other machine.
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.*".to_owned(),
    ];
    if geteuid().is_root() {
        // Chromium has no sandbox for root.
        arguments.push("--no-sandbox".to_owned());
    }
    let options = json!({ "binary": chromium, "args": arguments });
    let capabilities = json!({
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": { "browser": "ALL" },
    });
    Ok(serde_json::from_value(capabilities)?)
}

/// Returns the port that chromedriver reports in its log.
fn port_in(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("started successfully on port ")?;
    rest.split_once('.')?.0.parse().ok()
}
