//! The upstream service: answers every request with a description of that request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use axum::extract::{Request, State};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// An HTTP server on a separate thread, so that a busy test does not slow it down. It ends when it
/// is dropped.
///
/// It answers any request with 200 and
/// `{"method": "GET", "path": "/a?b=c", "headers": {"host": ["…"], …}}`.
#[derive(Debug)]
pub struct Upstream {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    _stop: oneshot::Sender<()>,
}

impl Upstream {
    /// Starts the server on `address`, whose port may be 0.
    ///
    /// # Errors
    /// Fails when the address is not available.
    pub fn start(address: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind(address)
            .with_context(|| format!("the upstream's {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        let service = Router::new().fallback(echo).with_state(requests.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let Ok(listener) = TcpListener::from_std(listener) else {
                        return;
                    };
                    tokio::select! {
                        _ = axum::serve(listener, service).into_future() => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            requests,
            _stop: stop,
        })
    }

    /// Returns the address where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the number of requests that have reached it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn echo(State(requests): State<Arc<AtomicU64>>, request: Request) -> Json<Value> {
    requests.fetch_add(1, Ordering::SeqCst);
    let mut headers = BTreeMap::<&str, Vec<String>>::new();
    for (name, value) in request.headers() {
        headers
            .entry(name.as_str())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    Json(
        json!({ "method": request.method().as_str(), "path": request.uri().to_string(), "headers": headers }),
    )
}
