//! Waiting for a condition, by polling for it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::time::{Instant, sleep_until, timeout_at};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// An error after which waiting is pointless, such as the end of the process that is waited for.
#[derive(Debug)]
pub struct Fatal(pub String);

impl std::fmt::Display for Fatal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fatal {}

/// Calls `probe` until it succeeds, for at most `within`.
///
/// # Errors
/// Returns the probe's last error, when time is up or at once when it is [`Fatal`].
pub async fn eventually<T>(
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    let mut last = anyhow!("the first try did not end");
    loop {
        match timeout_at(deadline, probe()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) if error.is::<Fatal>() => return Err(error),
            Ok(Err(error)) => last = error,
            Err(_) => {
                return Err(last).with_context(|| {
                    format!("not so within {within:?}, the last try did not end")
                });
            }
        }
        let next = Instant::now() + pause;
        if next >= deadline {
            return Err(last).with_context(|| format!("not so within {within:?}"));
        }
        sleep_until(next).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_success_ends_the_wait() {
        let mut tries = 0;
        let found = eventually(Duration::from_secs(5), async || {
            tries += 1;
            if tries < 3 {
                Err(anyhow!("not yet"))
            } else {
                Ok(tries)
            }
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn error_shows_the_last_observation() {
        let error = eventually::<()>(Duration::from_millis(20), async || {
            Err(anyhow!("two nodes"))
        })
        .await
        .unwrap_err();
        assert_eq!(format!("{error:#}"), "not so within 20ms: two nodes");
    }

    #[tokio::test]
    async fn hanging_probe_ends_at_the_deadline() {
        let hanging = eventually::<()>(Duration::from_millis(20), async || {
            std::future::pending().await
        });
        assert!(format!("{:#}", hanging.await.unwrap_err()).contains("did not end"));
    }

    #[tokio::test]
    async fn fatal_error_ends_the_wait() {
        let dead = eventually::<()>(Duration::from_secs(3600), async || {
            Err(Fatal("it died".into()).into())
        });
        assert_eq!(dead.await.unwrap_err().to_string(), "it died");
    }
}
