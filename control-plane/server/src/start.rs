//! Start and stop. The listeners come first, so that nothing is created if a port is taken. Then
//! follow the store and the first user, and then both servers.

use axum::Router;
use latchkey_model::clock::Clock;
use latchkey_model::random::NoRandomness;
use latchkey_model::secret::Password;
use latchkey_store::{OpenError, Store, StoreError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time;
use tracing::{error, info, warn};

use crate::backend::Backend;
use crate::config::{AdminConfig, Config, InvalidSetting};
use crate::http;
use crate::metrics::Metrics;
use crate::nodes::registry::Registry;
use crate::open_files::{self, Connections};
use crate::password::{PasswordError, Passwords};
use crate::refused_logins;
use crate::removals;
use crate::stop::{self, Stopper};
use crate::stream::{self, StreamSettings};
use crate::tls;
use crate::usage;
use crate::webhook;

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
    let http_listener = bind(config.http.listen, "--http-listen").await?;
    let nodes = bind(config.stream.listen, "--stream-listen").await?;
    let (http_addr, stream_addr) = (
        address(&http_listener, "--http-listen")?,
        address(&nodes, "--stream-listen")?,
    );

    let keys = if config.store.is_new() {
        config.at_rest.keys_of_new_database()?
    } else {
        config.at_rest.keys()?
    };
    let store = Store::open_with(&config.store.database, config.store.mode(), &keys).await?;
    let passwords = Passwords::new()?;
    first_user(&store, &passwords, &config.admin, clock.now()).await?;

    let (stopper, stop) = stop::channel();
    let metrics = Arc::new(Metrics::new(&store));
    let limits = config.stream.node_limits();
    let registry = Registry::open(
        store.clone(),
        clock.clone(),
        metrics.clone(),
        limits,
        stop.clone(),
    )
    .await?;
    let reach = config.webhook.reach();
    let deliveries = webhook::worker::start(
        store.clone(),
        clock.clone(),
        metrics.clone(),
        reach,
        stop.clone(),
    )
    .map_err(StartError::Webhooks)?;
    let wanted = (config.http.connections, config.stream.connections);
    let [http, stream] =
        [wanted.0, wanted.1].map(|wanted| usize::try_from(wanted).unwrap_or(usize::MAX));
    let connections = open_files::divide(Connections { http, stream });
    let settings = StreamSettings {
        shared_token: config.stream.node_token,
        connections: connections.stream,
    };
    if settings.shared_token.is_some() {
        warn!(
            "--node-token (LATCHKEY_NODE_TOKEN) is one token for all Envoys and is deprecated: \
             create a token for each group of Envoys with `latchkey node-token create`, then \
             remove this setting"
        );
    }
    let (feed, streams) = stream::serve(
        nodes,
        settings,
        store.clone(),
        registry.clone(),
        clock.clone(),
        metrics.clone(),
        stop.clone(),
    );
    store.start_checks({
        let mut stop = stop.clone();
        async move { stop.requested().await }
    });
    let refused_logins = Arc::new(refused_logins::Collector::default());
    let router = router(Backend {
        store: store.clone(),
        clock: clock.clone(),
        registry,
        metrics,
        feed,
        passwords,
        refused_logins: refused_logins.clone(),
        reach,
        key_format: config.keys.format,
        calls_per_minute: config.http.calls_per_minute,
        trusted_hops: config.http.trusted_hops,
        gateway: config.http.gateway_url.clone(),
        stop: stop.clone(),
    })?;
    let mut servers = JoinSet::new();
    servers.spawn(deliveries);
    servers.spawn(refused_logins::run(
        refused_logins,
        store.clone(),
        clock.clone(),
        stop.clone(),
    ));
    webhook::chores::start(store.clone(), clock.clone(), stop.clone());
    removals::start(store.clone(), clock.clone(), stop.clone());
    usage::tidy::start(
        store.clone(),
        clock.clone(),
        config.retention.ages(),
        stop.clone(),
    );
    servers.spawn(async move {
        if let Err(error) = streams.await {
            error!(%error, "the stream's server failed");
        }
    });
    servers.spawn(http::serve(
        http_listener,
        router,
        config.http.limits(connections.http),
        stop,
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

/// Creates the first user. Also creates one if no administrator exists or if the setting requests
/// it.
async fn first_user(
    store: &Store,
    passwords: &Passwords,
    config: &AdminConfig,
    now: i64,
) -> Result<(), StartError> {
    if !config.recover && !store.lacks_admin().await? {
        return Ok(());
    }
    if store.credentials(&config.email).await?.is_some() {
        warn!(
            email = config.email,
            "no administrator is created, because this user exists already: set another email \
             address"
        );
        return Ok(());
    }
    let password = match &config.password {
        Some(password) => password.clone(),
        None => {
            let password = Password::generate()?;
            // Shown before the user is created: a user with a password that nobody saw would lock
            // everybody out.
            show(&config.email, &password).map_err(StartError::Stdout)?;
            password
        }
    };
    let hash = passwords.hash(password, "").await?;
    store
        .add_admin(&config.email, &hash, config.recover, now)
        .await?;
    Ok(())
}

/// Prints the password to stdout, the only place that ever shows it. It is not logged.
fn show(email: &str, password: &Password) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(
        stdout,
        "Password of {email}, shown only once: {}",
        password.expose()
    )?;
    stdout.flush()
}
