//! The operator's settings: one struct per concern. Each field is a flag, an environment variable
//! and a key in a file.

mod file;

pub use crate::setting::InvalidSetting;
pub use file::{InvalidFile, parse};

use axum::http::Uri;
use clap::{Args, Parser, ValueEnum, value_parser};
use latchkey_model::secret::{NodeToken, Password};
use latchkey_model::text;
use latchkey_policy::key::{InvalidPrefix, KeyFormat};
use latchkey_store::OpenMode;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::at_rest::AtRestConfig;
use crate::http;
use crate::nodes::registry::NodeLimits;
use crate::usage::tidy::Ages;
use crate::webhook::reach::Reach;

/// All settings of `latchkey serve`.
#[derive(Debug, Clone, Parser)]
#[command(no_binary_name = true)]
pub struct Config {
    /// Read settings from this TOML file, too, with the flags' names as keys. Flags and environment
    /// variables take precedence
    #[arg(long, env = "LATCHKEY_CONFIG", value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The API.
    #[command(flatten)]
    pub http: HttpConfig,
    /// The stream to the nodes.
    #[command(flatten)]
    pub stream: StreamConfig,
    /// The database.
    #[command(flatten)]
    pub store: StoreConfig,
    /// Encryption in the database.
    #[command(flatten)]
    pub at_rest: AtRestConfig,
    /// Retention times.
    #[command(flatten)]
    pub retention: RetentionConfig,
    /// The first user.
    #[command(flatten)]
    pub admin: AdminConfig,
    /// Keys.
    #[command(flatten)]
    pub keys: KeyConfig,
    /// Webhooks.
    #[command(flatten)]
    pub webhook: WebhookConfig,
    /// Logs.
    #[command(flatten)]
    pub log: LogConfig,
    /// Write the bound addresses to this file, as JSON, once everything is ready
    #[arg(long, env = "LATCHKEY_READY_FILE", value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

/// The API's address and limits.
#[derive(Debug, Clone, Args)]
pub struct HttpConfig {
    /// Address of the API; port 0 selects a free port
    #[arg(
        long = "http-listen",
        env = "LATCHKEY_HTTP_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,
    /// Maximum number of open connections. A further connection replaces one that waits for its
    /// client; if the same client has half of all connections, one of its own
    #[arg(
        id = "http-connections",
        long = "http-connections",
        env = "LATCHKEY_HTTP_CONNECTIONS",
        default_value_t = 1_024,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub connections: u32,
    /// Time after which a connection is closed that sends no request headers or reads nothing of a
    /// response
    #[arg(
        id = "http-idle-ms",
        long = "http-idle-ms",
        env = "LATCHKEY_HTTP_IDLE_MS",
        default_value_t = 10_000,
        value_name = "MILLISECONDS",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub idle_ms: u64,
    /// Maximum number of calls of a user or an API key per minute; 0 for no limit
    #[arg(
        long,
        env = "LATCHKEY_CALLS_PER_MINUTE",
        default_value_t = 6_000,
        value_name = "CALLS"
    )]
    pub calls_per_minute: u32,
    /// Number of proxies in front of the API whose X-Forwarded-For is trusted; 0 uses the
    /// connection's own address
    #[arg(
        long,
        env = "LATCHKEY_TRUSTED_HOPS",
        default_value_t = 0,
        value_name = "PROXIES"
    )]
    pub trusted_hops: usize,
    /// Address at which clients reach Envoy, such as https://api.example.com; shown in the console
    #[arg(long, env = "LATCHKEY_GATEWAY_URL", value_name = "URL", value_parser = gateway_url)]
    pub gateway_url: Option<String>,
}

/// The stream's address, credentials and limits.
#[derive(Debug, Clone, Args)]
pub struct StreamConfig {
    /// Address to which Envoys open their streams; port 0 selects a free port
    #[arg(
        id = "stream-listen",
        long = "stream-listen",
        env = "LATCHKEY_STREAM_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,
    /// Token that any Envoy may present, at least 16 characters. Deprecated: create a token for
    /// each group of Envoys with `latchkey node-token create`
    #[arg(
        long,
        env = "LATCHKEY_NODE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub node_token: Option<NodeToken>,
    /// Maximum number of open connections of Envoys, within the limit of open files; further ones
    /// wait to be accepted
    #[arg(
        id = "stream-connections",
        long = "stream-connections",
        env = "LATCHKEY_STREAM_CONNECTIONS",
        default_value_t = 20_000,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub connections: u32,
    /// Time for which a node that lost its stream still counts as serving
    #[arg(
        long,
        env = "LATCHKEY_NODE_GRACE_MS",
        default_value_t = 10_000,
        value_name = "MILLISECONDS"
    )]
    pub node_grace_ms: u64,
    /// Count lost Envoys of version 0.1, which report no staleness limit, until they return or are
    /// forgotten
    #[arg(long, env = "LATCHKEY_REQUIRE_STALENESS")]
    pub require_staleness: bool,
    /// Maximum number of counted Envoys, connected or lost; beyond it, lost ones count as unknown
    /// and new ones are refused
    #[arg(
        long,
        env = "LATCHKEY_MAX_NODES",
        default_value_t = 10_000,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub max_nodes: u32,
}

/// The database.
#[derive(Debug, Clone, Args)]
pub struct StoreConfig {
    /// Path of the SQLite database, which `latchkey init` creates
    #[arg(
        long,
        env = "LATCHKEY_DATABASE",
        default_value = "latchkey.db",
        value_name = "PATH"
    )]
    pub database: PathBuf,
    /// Create the database if it does not exist. For trials only: if a volume is not mounted, an
    /// empty database would replace the one that Envoys know
    #[arg(long, env = "LATCHKEY_CREATE_DATABASE")]
    pub create_database: bool,
}

/// Retention times.
#[derive(Debug, Clone, Args)]
pub struct RetentionConfig {
    /// Days after which the details of a revoked key are deleted; its digest is kept, so that it is
    /// never accepted again. 0 keeps the details
    #[arg(
        id = "revoked-keys-days",
        long = "revoked-keys-days",
        env = "LATCHKEY_REVOKED_KEYS_DAYS",
        default_value_t = 400,
        value_name = "DAYS"
    )]
    pub revoked_keys_days: u32,
    /// Days after which usage is deleted; 0 keeps it
    #[arg(
        id = "usage-days",
        long = "usage-days",
        env = "LATCHKEY_USAGE_DAYS",
        default_value_t = 400,
        value_name = "DAYS"
    )]
    pub usage_days: u32,
}

/// The user that the first start creates.
#[derive(Debug, Clone, Args)]
pub struct AdminConfig {
    /// Email address of the first user; no effect while an administrator exists
    #[arg(
        id = "admin-email",
        long = "admin-email",
        env = "LATCHKEY_ADMIN_EMAIL",
        default_value = "admin@localhost"
    )]
    pub email: String,
    /// Password of the first user, at least 12 characters (default: one is generated and printed
    /// once)
    #[arg(
        id = "admin-password",
        long = "admin-password",
        env = "LATCHKEY_ADMIN_PASSWORD",
        hide_env_values = true
    )]
    pub password: Option<Password>,
    /// Create that user even if an administrator exists, to regain access after a lost password
    #[arg(
        id = "admin-recover",
        long = "admin-recover",
        env = "LATCHKEY_ADMIN_RECOVER"
    )]
    pub recover: bool,
}

/// The format of keys.
#[derive(Debug, Clone, Args)]
pub struct KeyConfig {
    /// Prefix of every key
    #[arg(
        id = "key-prefix",
        long = "key-prefix",
        env = "LATCHKEY_KEY_PREFIX",
        default_value = "lk",
        value_name = "PREFIX",
        value_parser = key_format
    )]
    pub format: KeyFormat,
}

/// The destinations of webhooks.
#[derive(Debug, Clone, Args)]
pub struct WebhookConfig {
    /// Allow webhooks to private addresses and over http, for tests and private networks
    #[arg(
        id = "webhook-allow-private",
        long = "webhook-allow-private",
        env = "LATCHKEY_WEBHOOK_ALLOW_PRIVATE"
    )]
    pub allow_private: bool,
}

/// The log, on stderr.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Format of the log
    #[arg(
        id = "log-format",
        long = "log-format",
        env = "LATCHKEY_LOG_FORMAT",
        value_enum,
        default_value_t = LogFormat::Text
    )]
    pub format: LogFormat,
    /// Level, or directives such as `info,latchkey=debug`
    #[arg(
        id = "log-level",
        long = "log-level",
        env = "RUST_LOG",
        default_value = "info",
        value_name = "DIRECTIVES"
    )]
    pub level: String,
}

/// The formats of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Checks requirements that types cannot express.
    pub fn check(&self) -> Result<(), InvalidSetting> {
        let invalid = |flag, variable, reason| {
            Err(InvalidSetting {
                flag,
                variable,
                reason,
            })
        };
        if self
            .stream
            .node_token
            .as_ref()
            .is_some_and(|token| !token.long_enough())
        {
            let reason = format!("must have at least {} characters", NodeToken::MIN_LEN);
            return invalid("--node-token", "LATCHKEY_NODE_TOKEN", reason);
        }
        if self
            .admin
            .password
            .as_ref()
            .is_some_and(|password| !password.long_enough())
        {
            let reason = format!("must have at least {} characters", Password::MIN_LEN);
            return invalid("--admin-password", "LATCHKEY_ADMIN_PASSWORD", reason);
        }
        if let Err(reason) = text::email(&self.admin.email) {
            return invalid("--admin-email", "LATCHKEY_ADMIN_EMAIL", reason);
        }
        Ok(())
    }
}

impl HttpConfig {
    pub(crate) fn limits(&self, connections: usize) -> http::Limits {
        // With a proxy, all connections come from the proxy's address.
        let per_client = if self.trusted_hops == 0 {
            (connections / 2).max(1)
        } else {
            connections
        };
        http::Limits {
            connections,
            per_client,
            idle: Duration::from_millis(self.idle_ms),
        }
    }
}

impl RetentionConfig {
    pub(crate) fn ages(&self) -> Ages {
        let seconds = |days: u32| {
            if days == 0 {
                i64::MAX
            } else {
                i64::from(days) * 24 * 60 * 60
            }
        };
        Ages {
            revoked_keys: seconds(self.revoked_keys_days),
            usage: seconds(self.usage_days),
        }
    }
}

impl StoreConfig {
    pub(crate) fn mode(&self) -> OpenMode {
        if self.create_database {
            OpenMode::CreateIfMissing
        } else {
            OpenMode::Existing
        }
    }

    /// Returns whether the start will create the database.
    pub(crate) fn is_new(&self) -> bool {
        self.create_database && !self.database.try_exists().unwrap_or(true)
    }
}

impl StreamConfig {
    pub(crate) fn node_limits(&self) -> NodeLimits {
        NodeLimits {
            grace: Duration::from_millis(self.node_grace_ms),
            require_staleness: self.require_staleness,
            max_nodes: usize::try_from(self.max_nodes).unwrap_or(usize::MAX),
        }
    }
}

impl WebhookConfig {
    pub(crate) fn reach(&self) -> Reach {
        if self.allow_private {
            Reach::Private
        } else {
            Reach::Public
        }
    }
}

/// Checks the URL. Returns it without a trailing slash, fit for single quotes in a shell.
fn gateway_url(text: &str) -> Result<String, &'static str> {
    let wrong = "must be an http or https URL, without a query or quotes";
    let url: Uri = text.parse().map_err(|_| wrong)?;
    let is_http = matches!(url.scheme_str(), Some("http" | "https")) && url.authority().is_some();
    if is_http && url.query().is_none() && !text.contains('\'') {
        return Ok(text.trim_end_matches('/').to_owned());
    }
    Err(wrong)
}

fn key_format(prefix: &str) -> Result<KeyFormat, InvalidPrefix> {
    KeyFormat::new(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn parse(arguments: &[&str]) -> Config {
        Config::try_parse_from(arguments).unwrap()
    }

    #[test]
    fn what_is_too_short_is_refused_by_name_and_not_told() {
        let refused = parse(&["--node-token", "0123456789abcde"])
            .check()
            .unwrap_err()
            .to_string();
        assert_eq!(
            refused,
            "--node-token (LATCHKEY_NODE_TOKEN) must have at least 16 characters"
        );
        let refused = parse(&["--node-token", TOKEN, "--admin-password", "elevenchars"])
            .check()
            .unwrap_err();
        assert_eq!(
            refused.to_string(),
            "--admin-password (LATCHKEY_ADMIN_PASSWORD) must have at least 12 characters"
        );
        assert_eq!(
            parse(&["--node-token", TOKEN, "--admin-password", "twelve chars"]).check(),
            Ok(())
        );
        assert_eq!(parse(&["--node-token", TOKEN]).check(), Ok(()));
    }

    #[test]
    fn settings_do_not_print_secrets() {
        let config = parse(&[
            "--node-token",
            TOKEN,
            "--admin-password",
            "correct horse battery",
        ]);
        let printed = format!("{config:?}");
        assert!(
            !printed.contains(TOKEN) && !printed.contains("correct horse"),
            "{printed}"
        );
    }

    #[test]
    fn the_gateway_is_an_address() {
        for (text, url) in [
            ("https://api.example.com/", Some("https://api.example.com")),
            ("http://127.0.0.1:10000", Some("http://127.0.0.1:10000")),
            ("https://example.com/a/", Some("https://example.com/a")),
            ("api.example.com", None),
            ("ftp://example.com", None),
            ("https://example.com/?a", None),
            ("https://example.com/'", None),
        ] {
            assert_eq!(gateway_url(text).ok().as_deref(), url, "{text}");
        }
    }

    #[test]
    fn limits_of_nothing_are_refused() {
        for flag in [
            "--http-connections",
            "--http-idle-ms",
            "--stream-connections",
        ] {
            let refused = Config::try_parse_from(["--node-token", TOKEN, flag, "0"]).unwrap_err();
            assert!(refused.to_string().contains(flag), "{refused}");
        }
    }

    #[test]
    fn a_prefix_that_cannot_begin_a_key_is_refused() {
        let refused =
            Config::try_parse_from(["--node-token", TOKEN, "--key-prefix", "L_K"]).unwrap_err();
        assert!(refused.to_string().contains("--key-prefix"), "{refused}");
    }
}
