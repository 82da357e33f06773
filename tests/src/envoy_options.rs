//! How an Envoy is started, and the configuration that follows from it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::bootstrap::Bootstrap;
use crate::hot_restart::HotRestart;

/// What Envoy does with requests while the filter's VM is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It refuses them until it is restarted.
    FailClosed,
    /// It makes a new VM, with a pause between tries, and refuses them meanwhile; what we ship.
    FailReload,
}

/// How an Envoy is started. [`EnvoyOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct EnvoyOptions {
    /// Envoy's `node.id`, and the name of its files in `dir`.
    pub node_id: String,
    /// Number of workers; 2.
    pub concurrency: u32,
    /// The filter's wasm file.
    pub filter: PathBuf,
    /// `FailReload`.
    pub failure_policy: FailurePolicy,
    /// A JSON merge patch for the filter's configuration; empty.
    pub configuration: Value,
    /// A text to give to the filter as its configuration instead, such as a broken one.
    pub raw_configuration: Option<String>,
    /// The name under which the workers share data; `latchkey`.
    pub vm_id: String,
    /// Texts of the shipped file, each with another to stand in its place, such as a shorter time;
    /// none.
    pub replacements: Vec<(&'static str, &'static str)>,
    /// Whether requests come from the connection's address, unless proxies are trusted; yes. If
    /// not, they come from where X-Forwarded-For says.
    pub use_remote_address: bool,
    /// How many proxies in front are trusted to say where a request comes from; none.
    pub trusted_proxies: u32,
    /// Whether Envoy gives each path one spelling, and refuses those with escaped slashes; yes.
    pub tidy_paths: bool,
    /// Whether the guard stands behind the filter; yes.
    pub guard: bool,
    /// Whether it lets headers with underscores in their names through; no.
    pub headers_with_underscores: bool,
    /// Whether trailers pass on HTTP/1.1, on both sides; no.
    pub trailers: bool,
    /// Upgrades that pass, such as `websocket`, on HTTP/2 as well; `CONNECT` is one of them. None.
    pub upgrades: Vec<&'static str>,
    /// HTTP filters in YAML, a list, that stand in place of the filter and the guard; none.
    pub http_filters: Option<String>,
    /// Whether Envoy itself answers what its filters let through, and keeps no access log; no.
    pub answers_itself: bool,
    /// Whether it has another listener, `beside`, that answers itself and has no filters; no.
    pub beside: bool,
    /// A JSON merge patch for the configuration of another filter, at a listener of its own,
    /// `second`; no such listener.
    pub second: Option<Value>,
    /// A statistic that Envoy does not keep, such as `wasmcustom.latchkey_generation`; none.
    pub without_stat: Option<String>,
    /// Whether its listeners come from a file (LDS), so that [`Envoy::update`] can replace them;
    /// no.
    pub lds: bool,
    /// How long a replaced listener goes on with its connections; Envoy's default of ten minutes. A
    /// hot restart has its own.
    pub drain_time: Option<Duration>,
    /// Whether it hands its listeners over to another process, or takes that one's over; neither.
    pub hot_restart: HotRestart,
    /// The core on which it stays; any.
    pub core: Option<usize>,
    /// The gateway's port; 0, which takes a free one.
    pub gateway_port: u16,
    /// The admin page's port; 0, which takes a free one.
    pub admin_port: u16,
    /// The port of 127.0.0.1 that requests go to.
    pub upstream_port: u16,
    /// Whether Envoy speaks HTTP/2 there; no.
    pub http2_upstream: bool,
    /// The control plane's stream.
    pub stream: SocketAddr,
    /// Further endpoints of the cluster `latchkey`, of which Envoy picks one for each connection;
    /// none.
    pub more_streams: Vec<SocketAddr>,
    /// What the filter presents there.
    pub node_token: String,
    /// Variables of Envoy's environment, which it hands over to the filter; none.
    pub environment: Vec<(String, String)>,
    /// Where configuration and logs go.
    pub dir: PathBuf,
}

impl EnvoyOptions {
    /// The shipped configuration, with two workers and free ports.
    #[must_use]
    pub fn new(
        filter: PathBuf,
        upstream_port: u16,
        stream: SocketAddr,
        node_token: &str,
        dir: &Path,
    ) -> Self {
        Self {
            node_id: "envoy".to_owned(),
            concurrency: 2,
            filter,
            failure_policy: FailurePolicy::FailReload,
            configuration: Value::Object(serde_json::Map::new()),
            raw_configuration: None,
            vm_id: "latchkey".to_owned(),
            replacements: Vec::new(),
            use_remote_address: true,
            trusted_proxies: 0,
            tidy_paths: true,
            guard: true,
            headers_with_underscores: false,
            trailers: false,
            upgrades: Vec::new(),
            http_filters: None,
            answers_itself: false,
            beside: false,
            second: None,
            without_stat: None,
            lds: false,
            drain_time: None,
            hot_restart: HotRestart::Disabled,
            core: None,
            gateway_port: 0,
            admin_port: 0,
            upstream_port,
            http2_upstream: false,
            stream,
            more_streams: Vec::new(),
            node_token: node_token.to_owned(),
            environment: Vec::new(),
            dir: dir.to_path_buf(),
        }
    }

    /// The bootstrap that Envoy gets, with its listeners in it.
    pub(crate) fn bootstrap(&self) -> Result<String> {
        let mut bootstrap = Bootstrap::shipped()?;
        for (shipped, other) in &self.replacements {
            bootstrap.replace(shipped, other)?;
        }
        if self.failure_policy == FailurePolicy::FailClosed {
            bootstrap.replace("failure_policy: FAIL_RELOAD", "failure_policy: FAIL_CLOSED")?;
        }
        bootstrap.replace("vm_id: latchkey", &format!("vm_id: {}", self.vm_id))?;
        if self.trusted_proxies > 0 {
            let hops = format!(
                "use_remote_address: true\n                xff_num_trusted_hops: {}",
                self.trusted_proxies
            );
            bootstrap.replace("use_remote_address: true", &hops)?;
        }
        if !self.use_remote_address {
            bootstrap.replace("use_remote_address: true", "use_remote_address: false")?;
        }
        if !self.tidy_paths {
            for (option, otherwise) in [
                ("normalize_path: true", "normalize_path: false"),
                ("merge_slashes: true", "merge_slashes: false"),
                (
                    "path_with_escaped_slashes_action: REJECT_REQUEST",
                    "path_with_escaped_slashes_action: KEEP_UNCHANGED",
                ),
            ] {
                bootstrap.replace(option, otherwise)?;
            }
        }
        if !self.environment.is_empty() {
            let names: Vec<_> = self
                .environment
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            let runtime = "runtime: envoy.wasm.runtime.v8";
            let variables = format!(
                "environment_variables: {{ host_env_keys: [{}] }}",
                names.join(", ")
            );
            bootstrap.replace(
                runtime,
                &format!("{runtime}\n                          {variables}"),
            )?;
        }
        if !self.guard {
            bootstrap.remove_http_filter("guard")?;
        }
        if self.headers_with_underscores {
            bootstrap.allow_underscores()?;
        }
        if self.trailers {
            bootstrap.pass_trailers(self.http2_upstream)?;
        }
        if !self.upgrades.is_empty() {
            bootstrap.pass_upgrades(&self.upgrades)?;
        }
        if self.http2_upstream {
            bootstrap.use_http2_upstream()?;
        }
        if self.answers_itself {
            bootstrap.answer_itself()?;
        }
        if self.beside {
            bootstrap.add_listener_beside()?;
        }
        if let Some(stat) = &self.without_stat {
            bootstrap.leave_out_stat(stat)?;
        }
        if let Some(patch) = &self.second {
            bootstrap.add_second_gateway(patch)?;
        }
        for stream in &self.more_streams {
            bootstrap.add_stream(*stream)?;
        }
        self.hot_restart.configure(&mut bootstrap)?;
        let text = |value: &dyn ToString| value.to_string();
        let mut variables = vec![
            ("GATEWAY_PORT", text(&self.gateway_port)),
            ("ADMIN_PORT", text(&self.admin_port)),
            ("UPSTREAM_PORT", text(&self.upstream_port)),
            ("STREAM_ADDRESS", text(&self.stream.ip())),
            ("STREAM_PORT", text(&self.stream.port())),
        ];
        if let Some(filters) = &self.http_filters {
            bootstrap.replace_http_filters(filters)?;
            return bootstrap.fill(&variables);
        }
        variables.push(("FILTER_WASM", text(&self.filter.display())));
        if let Some(raw) = &self.raw_configuration {
            bootstrap.set_configuration(raw)?;
        } else {
            bootstrap.merge_configuration(&self.configuration)?;
            if bootstrap.has_variable("NODE_TOKEN") {
                variables.push(("NODE_TOKEN", self.node_token.clone()));
            }
        }
        bootstrap.fill(&variables)
    }

    pub(crate) fn file(&self, suffix: &str) -> PathBuf {
        self.dir.join(format!("{}{suffix}", self.node_id))
    }
}
