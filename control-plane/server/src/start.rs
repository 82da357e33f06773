//! Start and stop. The listeners come first, so that nothing is created if a port is taken. Then
//! follow the store and the first user, and then both servers.

mod first_user;
mod shared;

use axum::Router;
use latchkey_model::clock::Clock;
use latchkey_model::random::NoRandomness;
use latchkey_store::{OpenError, Store, StoreError};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time;
use tracing::{error, info};

use crate::backend::Backend;
use crate::config::{Config, InvalidSetting};
use crate::http;
use crate::open_files::{self, Connections};
use crate::password::{PasswordError, Passwords};
use crate::refused_logins::RefusedLoginCollector;
use crate::stop::{self, Stopper};
use crate::stream::StreamSettings;
use crate::tls;
use shared::Shared;

const HTTP_LISTEN: &str = "--http-listen";
const STREAM_LISTEN: &str = "--stream-listen";

/// The maximum time for requests in progress to end after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The reason why the control plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// A listener could not be bound.
    #[error("cannot listen on {address} ({flag}): {}", reason(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets the address.
        flag: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The store could not be opened.
    #[error("cannot open the store: {0}")]
    Open(#[from] OpenError),
    /// The store could not be used.
    #[error("cannot use the store: {0}")]
    Store(#[from] StoreError),
    /// The first user's password could not be hashed.
    #[error("cannot create the first user: {0}")]
    Password(#[from] PasswordError),
    /// No random bytes were available.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// The client for webhooks could not be created.
    #[error("cannot create an HTTP client for webhooks: {0}")]
    Webhooks(#[source] reqwest::Error),
    /// The first user's password could not be shown.
    #[error("cannot show the first user's password on stdout: {0}")]
    Stdout(#[source] io::Error),
    /// The ready file could not be written.
    #[error("cannot write {} (--ready-file): {source}", path.display())]
    ReadyFile {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The API's description could not be written.
    #[error("cannot describe the API: {0}")]
    Description(#[from] serde_json::Error),
    /// Signals could not be listened to.
    #[error("cannot listen to signals: {0}")]
    Signals(#[source] io::Error),
    /// A server ended before the stop.
    #[error("a server ended unexpectedly")]
    Ended,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address already in use".to_owned(),
        _ => error.to_string(),
    }
}

/// A running control plane.
pub struct Running {
    /// The address of the API.
    pub http_addr: SocketAddr,
    /// The address of the stream.
    pub stream_addr: SocketAddr,
    store: Store,
    servers: JoinSet<()>,
    stopper: Stopper,
}

/// Starts the control plane with the caller's clock. `router` returns the HTTP calls that it
/// serves.
///
/// # Errors
/// Fails if a setting cannot be used, or if a required resource cannot be opened.
pub async fn start_with_clock(
    config: Config,
    clock: Arc<dyn Clock>,
    router: impl FnOnce(Backend) -> Result<Router, StartError>,
) -> Result<Running, StartError> {
    config.check()?;
    tls::init();
    let listeners = Listeners::bind(&config).await?;
    let (http_addr, stream_addr) = listeners.addresses()?;

    let store = open_store(&config).await?;
    let passwords = Passwords::new()?;
    first_user::create(&store, &passwords, &config.admin, clock.now()).await?;

    let (stopper, stop) = stop::channel();
    let shared = Shared::open(&config, store.clone(), clock, stop).await?;
    let deliveries = shared.deliveries(config.webhook.reach())?;
    let connections = divide_connections(&config);
    let (feed, streams) = shared.serve_streams(
        listeners.stream,
        StreamSettings {
            shared_token: config.stream.node_token.clone(),
            connections: connections.stream,
        },
    );
    shared.start_store_checks();

    let refused_logins = Arc::new(RefusedLoginCollector::default());
    let router = router(shared.backend(&config, passwords, feed, refused_logins.clone()))?;
    shared.start_cleanup(config.retention.times());

    let mut servers = JoinSet::new();
    servers.spawn(deliveries);
    servers.spawn(shared.write_refused_logins(refused_logins));
    servers.spawn(async move {
        if let Err(error) = streams.await {
            error!(%error, "the stream's server failed");
        }
    });
    servers.spawn(http::serve(
        listeners.http,
        router,
        config.http.limits(connections.http),
        shared.stop,
    ));

    info!(http = %http_addr, stream = %stream_addr, revision = store.revision(), "ready");
    Ok(Running {
        http_addr,
        stream_addr,
        store,
        servers,
        stopper,
    })
}

impl Running {
    /// Returns the store, for programs that embed the control plane.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Resolves when a server ends unexpectedly.
    pub(crate) async fn ended(&mut self) {
        self.servers.join_next().await;
    }

    /// Ends all streams at once, lets requests in progress end, and closes the store.
    pub async fn shutdown(mut self) {
        self.stopper.stop();
        let ended = async { while self.servers.join_next().await.is_some() {} };
        if time::timeout(DRAIN, ended).await.is_err() {
            self.servers.shutdown().await;
        }
        if time::timeout(DRAIN, self.store.close()).await.is_err() {
            error!("the store was still in use at shutdown");
        }
        info!("stopped");
    }
}

/// The bound listeners.
struct Listeners {
    http: TcpListener,
    stream: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            http: bind(config.http.listen, HTTP_LISTEN).await?,
            stream: bind(config.stream.listen, STREAM_LISTEN).await?,
        })
    }

    /// Returns the addresses of the API and of the stream.
    fn addresses(&self) -> Result<(SocketAddr, SocketAddr), StartError> {
        Ok((
            address(&self.http, HTTP_LISTEN)?,
            address(&self.stream, STREAM_LISTEN)?,
        ))
    }
}

async fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            address,
            flag,
            source,
        })
}

fn address(listener: &TcpListener, flag: &'static str) -> Result<SocketAddr, StartError> {
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    listener.local_addr().map_err(|source| StartError::Listen {
        address: unspecified,
        flag,
        source,
    })
}

/// Opens the database, or creates it if the settings request that.
async fn open_store(config: &Config) -> Result<Store, StartError> {
    let keys = if config.store.is_new() {
        config.at_rest.keys_of_new_database()?
    } else {
        config.at_rest.keys()?
    };
    Ok(Store::open_with(&config.store.database, config.store.mode(), &keys).await?)
}

/// Divides the limit of open files between the listeners' connections.
fn divide_connections(config: &Config) -> Connections {
    let [http, stream] = [config.http.connections, config.stream.connections]
        .map(|wanted| usize::try_from(wanted).unwrap_or(usize::MAX));
    open_files::divide(Connections { http, stream })
}
