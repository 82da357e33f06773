//! Limits how many lists and reports a caller reads at a time. Further reads wait, which leaves
//! database connections to others.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use latchkey_store::Caller;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

use super::App;
use super::error::ApiError;
use super::extract::Session;

/// The maximum number of concurrent reads of a caller.
const RUNNING: usize = 2;

/// The maximum number of waiting reads of a caller.
const WAITING: usize = 100;

/// The maximum time that a read waits for others of its caller. Together with the wait for a
/// connection and the read itself it stays below the time limit of a request (`observe`).
const TIMEOUT: Duration = Duration::from_secs(20);

/// The running and waiting reads, by caller. Callers without reads take no memory.
pub(crate) struct ListReads {
    callers: Arc<Mutex<HashMap<String, CallerReads>>>,
    timeout: Duration,
}

struct CallerReads {
    turns: Arc<Semaphore>,
    /// The number of running and waiting reads.
    count: usize,
}

/// The permission to read. Dropping it starts the caller's next read.
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// A read that is counted as its caller's.
struct Counted {
    caller: String,
    callers: Arc<Mutex<HashMap<String, CallerReads>>>,
}

impl ListReads {
    pub(crate) fn new() -> Self {
        Self {
            callers: Arc::default(),
            timeout: TIMEOUT,
        }
    }

    /// Waits for the caller's turn.
    ///
    /// Fails with [`ApiError::TooManyReads`] if too many of the caller's reads wait, or if this one
    /// has waited too long.
    pub(crate) async fn take_turn(&self, caller: &str) -> Result<Turn, ApiError> {
        let (counted, turns) = self.count(caller).ok_or(ApiError::TooManyReads)?;
        match time::timeout(self.timeout, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Turn {
                _permit: permit,
                _counted: counted,
            }),
            _ => Err(ApiError::TooManyReads),
        }
    }

    fn count(&self, caller: &str) -> Option<(Counted, Arc<Semaphore>)> {
        let mut reads = lock(&self.callers);
        let new = || CallerReads {
            turns: Arc::new(Semaphore::new(RUNNING)),
            count: 0,
        };
        let of_caller = reads.entry(caller.to_owned()).or_insert_with(new);
        if of_caller.count >= RUNNING + WAITING {
            return None;
        }
        of_caller.count += 1;
        let counted = Counted {
            caller: caller.to_owned(),
            callers: self.callers.clone(),
        };
        Some((counted, of_caller.turns.clone()))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut reads = lock(&self.callers);
        let Some(of_caller) = reads.get_mut(&self.caller) else {
            return;
        };
        of_caller.count = of_caller.count.saturating_sub(1);
        if of_caller.count == 0 {
            reads.remove(&self.caller);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The session of a call that reads a list or a report, after waiting for its turn.
pub(crate) struct ListSession {
    pub(crate) caller: Caller,
    pub(crate) turn: Turn,
}

impl FromRequestParts<Arc<App>> for ListSession {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Session { caller, .. } = Session::from_request_parts(parts, app).await?;
        let turn = app
            .list_reads
            .take_turn(caller.actor.id().unwrap_or_default())
            .await?;
        Ok(Self { caller, turn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::{self, JoinSet};

    async fn waits(reads: &ListReads, caller: &str) -> bool {
        time::timeout(Duration::from_millis(10), reads.take_turn(caller))
            .await
            .is_err()
    }

    #[tokio::test]
    async fn reads_wait_for_their_own_caller() {
        let reads = ListReads::new();
        let first = reads.take_turn("reader").await.unwrap();
        let second = reads.take_turn("reader").await.unwrap();
        assert!(waits(&reads, "reader").await);
        assert!(!waits(&reads, "other").await);
        drop(first);
        assert!(!waits(&reads, "reader").await);
        drop(second);
        assert!(lock(&reads.callers).is_empty());
    }

    #[tokio::test]
    async fn excess_read_is_refused_at_once() {
        let reads = Arc::new(ListReads::new());
        let running = [
            reads.take_turn("reader").await.unwrap(),
            reads.take_turn("reader").await.unwrap(),
        ];
        let mut waiting = JoinSet::new();
        for _ in 0..WAITING {
            let reads = reads.clone();
            waiting.spawn(async move { reads.take_turn("reader").await.map(drop) });
        }
        while lock(&reads.callers).get("reader").unwrap().count < RUNNING + WAITING {
            task::yield_now().await;
        }
        assert!(matches!(
            reads.take_turn("reader").await,
            Err(ApiError::TooManyReads)
        ));
        assert!(reads.take_turn("other").await.is_ok());
        drop(running);
        while let Some(read) = waiting.join_next().await {
            read.unwrap().unwrap();
        }
        assert!(lock(&reads.callers).is_empty());
    }

    #[tokio::test]
    async fn read_is_refused_after_long_wait() {
        let reads = ListReads {
            timeout: Duration::from_millis(20),
            ..ListReads::new()
        };
        let _running = [
            reads.take_turn("reader").await.unwrap(),
            reads.take_turn("reader").await.unwrap(),
        ];
        assert!(matches!(
            reads.take_turn("reader").await,
            Err(ApiError::TooManyReads)
        ));
        assert_eq!(lock(&reads.callers).get("reader").unwrap().count, RUNNING);
    }
}
