//! The options with which an Envoy is started, and the configuration that follows from them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::bootstrap::Bootstrap;
use crate::hot_restart::HotRestart;

/// Envoy's behaviour while the filter's VM is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailurePolicy {
    /// Envoy refuses requests until it is restarted.
    FailClosed,
    /// Envoy creates a new VM, with a pause between attempts, and refuses requests until it has
    /// one; the shipped setting.
    FailReload,
}

/// The options with which an Envoy is started. [`EnvoyOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct EnvoyOptions {
    /// Envoy's `node.id`, and the name of its files in `dir`.
    pub node_id: String,
    /// Number of workers; 2.
    pub concurrency: u32,
    /// The filter's wasm file.
    pub filter: PathBuf,
    /// The filter's failure policy; `FailReload`.
    pub failure_policy: FailurePolicy,
    /// A JSON merge patch for the filter's configuration; empty.
    pub configuration: Value,
    /// A text that replaces the filter's configuration, such as a broken one.
    pub raw_configuration: Option<String>,
    /// The name under which the workers share data; `latchkey`.
    pub vm_id: String,
    /// Replacements in the text of the shipped file, such as a shorter time; none.
    pub replacements: Vec<(&'static str, &'static str)>,
    /// True if the client's address is the connection's, unless proxies are trusted; yes. Otherwise
    /// it is taken from X-Forwarded-For.
    pub use_remote_address: bool,
    /// The number of proxies in front that are trusted to report the client's address; none.
    pub trusted_proxies: u32,
    /// True if Envoy normalizes paths, and refuses those with escaped slashes; yes.
    pub tidy_paths: bool,
    /// True if the guard follows the filter; yes.
    pub guard: bool,
    /// True if Envoy passes on headers with underscores in their names; no.
    pub headers_with_underscores: bool,
    /// True if trailers pass on HTTP/1.1, on both sides; no.
    pub trailers: bool,
    /// The upgrades that pass, such as `websocket`, also on HTTP/2; `CONNECT` is one of them. None.
    pub upgrades: Vec<&'static str>,
    /// The HTTP filters, a YAML list, that replace the filter and the guard; none.
    pub http_filters: Option<String>,
    /// True if Envoy itself answers admitted requests, and keeps no access log; no.
    pub answers_itself: bool,
    /// True if Envoy has another listener, `beside`, that answers requests itself and has no
    /// filters; no.
    pub beside: bool,
    /// A JSON merge patch for the configuration of another filter, at a separate listener,
    /// `second`; no such listener.
    pub second: Option<Value>,
    /// A statistic that Envoy does not keep, such as `wasmcustom.latchkey_generation`; none.
    pub without_stat: Option<String>,
    /// True if the listeners come from a file (LDS), so that [`Envoy::update`] can replace them;
    /// no.
    pub lds: bool,
    /// The time for which a replaced listener keeps its connections; Envoy's default of ten
    /// minutes. A hot restart has its own.
    pub drain_time: Option<Duration>,
    /// The role in a hot restart: whether it hands its listeners over or takes over another's;
    /// neither.
    pub hot_restart: HotRestart,
    /// The core to which it is pinned; any.
    pub core: Option<usize>,
    /// The gateway's port; 0, which takes a free one.
    pub gateway_port: u16,
    /// The admin page's port; 0, which takes a free one.
    pub admin_port: u16,
    /// The port on 127.0.0.1 of the upstream.
    pub upstream_port: u16,
    /// True if Envoy speaks HTTP/2 to the upstream; no.
    pub http2_upstream: bool,
    /// The address of the control plane's stream.
    pub stream: SocketAddr,
    /// Further endpoints of the cluster `latchkey`, of which Envoy picks one for each connection;
    /// none.
    pub more_streams: Vec<SocketAddr>,
    /// The token that the filter presents there.
    pub node_token: String,
    /// Variables of Envoy's environment, which it passes to the filter; none.
    pub environment: Vec<(String, String)>,
    /// The directory of the configuration and the logs.
    pub dir: PathBuf,
}

impl EnvoyOptions {
    /// Returns the shipped configuration, with two workers and free ports.
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

    /// Returns the bootstrap that Envoy gets, including its listeners.
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
