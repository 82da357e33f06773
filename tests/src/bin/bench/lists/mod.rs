//! The duration of each list of the API and each page of the console with a million keys, and the
//! delay of other calls while a client reads many slow ones.

mod calls;
mod slow_reads;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use latchkey_tests::{ControlPlane, ControlPlaneOptions};
use reqwest::{Client, Method, header, redirect};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::management::{Row, Timings};
pub(crate) use slow_reads::SlowReads;

/// Fills a new database.
const STOCK: &str = include_str!("stock.sql");

/// The number of requests for each.
const REPETITIONS: usize = 40;

/// The bound for the 99th percentile of every list, in milliseconds.
pub(crate) const BOUND_MS: f64 = 300.0;

/// The results of the section.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lists {
    pub(crate) api: Vec<Row>,
    pub(crate) console: Vec<Row>,
    pub(crate) slow_reads: SlowReads,
}

impl Lists {
    /// Returns the largest 99th percentile, in milliseconds.
    pub(crate) fn longest_ms(&self) -> f64 {
        self.api
            .iter()
            .chain(&self.console)
            .map(|row| row.p99_ms)
            .fold(0.0, f64::max)
    }
}

/// Measures on a new database in `dir`.
pub(crate) async fn measure(dir: &Path) -> Result<Lists> {
    let dir = dir.join("lists");
    std::fs::create_dir_all(&dir)?;
    let options = ControlPlaneOptions::on_free_ports(&dir)?;
    let database = options.database.clone();
    let mut control_plane = ControlPlane::new(options);
    control_plane.start().await?;
    control_plane.stop().await?;
    fill(&database).await?;
    control_plane.start().await?;
    let mut api = Vec::new();
    let now = Timestamp::now();
    for path in calls::API {
        let at = calls::at(path, now)?;
        let request = async || Ok(control_plane.request(Method::GET, &at).await?);
        api.push(timed(path, request).await?);
    }
    let (client, cookie) = (Client::new(), console(&control_plane).await?);
    let mut pages = Vec::new();
    for path in calls::CONSOLE {
        let request = async || {
            Ok(client
                .get(control_plane.url(path))
                .header(header::COOKIE, &cookie))
        };
        pages.push(timed(path, request).await?);
    }
    let mut control_plane = Arc::new(control_plane);
    let slow_reads = slow_reads::measure(&control_plane).await?;
    Arc::get_mut(&mut control_plane)
        .context("it is still in use")?
        .stop()
        .await?;
    Ok(Lists {
        api,
        console: pages,
        slow_reads,
    })
}

async fn fill(database: &Path) -> Result<()> {
    eprintln!("filling {}", database.display());
    // The file is discarded if filling it fails.
    let options = SqliteConnectOptions::new()
        .filename(database)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .pragma("cache_size", "-500000");
    let mut connection = options.connect().await?;
    sqlx::raw_sql(STOCK).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Logs in to the console, and returns the session's cookie.
async fn console(control_plane: &ControlPlane) -> Result<String> {
    let client = Client::builder()
        .redirect(redirect::Policy::none())
        .build()?;
    let (email, password) = control_plane.credentials();
    let form = serde_urlencoded::to_string([("email", email), ("password", password)])?;
    let request = client.post(control_plane.url("/console/login"));
    let request = request
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form);
    let answer = request
        .header(header::ORIGIN, control_plane.url(""))
        .send()
        .await?;
    ensure!(
        answer.status().is_redirection(),
        "the console's log-in answers {}",
        answer.status()
    );
    let cookie = answer
        .headers()
        .get(header::SET_COOKIE)
        .context("the log-in sets no cookie")?
        .to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

async fn timed(
    path: &str,
    request: impl AsyncFn() -> Result<reqwest::RequestBuilder>,
) -> Result<Row> {
    let mut timings = Timings::default();
    for _ in 0..REPETITIONS {
        let request = request().await?;
        let began = Instant::now();
        let answer = request.send().await?;
        let status = answer.status();
        answer.bytes().await?;
        timings.add(began.elapsed());
        ensure!(status.is_success(), "{path} answers {status}");
    }
    let row = timings.row(&format!("`{path}`"));
    if row.p99_ms > BOUND_MS {
        eprintln!("{path} takes {:.0} ms", row.p99_ms);
    }
    Ok(row)
}
