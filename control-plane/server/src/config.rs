//! What the operator can set: one struct per concern, each field a flag, an environment variable
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
use crate::stream::registry::NodeLimits;
use crate::usage::tidy::Ages;
use crate::webhook::reach::Reach;

/// All settings of `latchkey serve`.
#[derive(Debug, Clone, Parser)]
#[command(no_binary_name = true)]
pub struct Config {
    /// Read settings from this file too: TOML, by the flags' names. Flags and the environment
    /// precede it
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
    /// For how long things are kept.
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
    /// Write the addresses that were bound to this file, as JSON, once everything is ready
    #[arg(long, env = "LATCHKEY_READY_FILE", value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

/// Where the API is served, and to how many.
#[derive(Debug, Clone, Args)]
pub struct HttpConfig {
    /// Address of the API; port 0 takes a free one
    #[arg(
        long = "http-listen",
        env = "LATCHKEY_HTTP_LISTEN",
        default_value = "127.0.0.1:8080",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,
    /// Connections that are open at once. One more takes the place of one that waits for its
    /// client, of the same client if it has half of them
    #[arg(
        id = "http-connections",
        long = "http-connections",
        env = "LATCHKEY_HTTP_CONNECTIONS",
        default_value_t = 1_024,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub connections: u32,
    /// How long a connection is kept without a request's headers, or with an answer of which
    /// nothing is taken
    #[arg(
        id = "http-idle-ms",
        long = "http-idle-ms",
        env = "LATCHKEY_HTTP_IDLE_MS",
        default_value_t = 10_000,
        value_name = "MILLISECONDS",
        value_parser = value_parser!(u64).range(1..)
    )]
    pub idle_ms: u64,
    /// Calls that a user or an API key can make in a minute; 0 is no limit
    #[arg(
        long,
        env = "LATCHKEY_CALLS_PER_MINUTE",
        default_value_t = 6_000,
        value_name = "CALLS"
    )]
    pub calls_per_minute: u32,
    /// Proxies in front of the API whose X-Forwarded-For is trusted; 0 takes the connection's own
    /// address
    #[arg(
        long,
        env = "LATCHKEY_TRUSTED_HOPS",
        default_value_t = 0,
        value_name = "PROXIES"
    )]
    pub trusted_hops: usize,
    /// Where clients reach Envoy, such as https://api.example.com; the console shows it
    #[arg(long, env = "LATCHKEY_GATEWAY_URL", value_name = "URL", value_parser = gateway_url)]
    pub gateway_url: Option<String>,
}

/// Where nodes connect, and what is asked of them.
#[derive(Debug, Clone, Args)]
pub struct StreamConfig {
    /// Address that Envoys open their streams to; port 0 takes a free one
    #[arg(
        id = "stream-listen",
        long = "stream-listen",
        env = "LATCHKEY_STREAM_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDR"
    )]
    pub listen: SocketAddr,
    /// Token that any Envoy may present, at least 16 characters. Deprecated: create one for each
    /// group of Envoys, with `latchkey node-token create`
    #[arg(
        long,
        env = "LATCHKEY_NODE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub node_token: Option<NodeToken>,
    /// Connections of Envoys that are open at once, as far as the limit of open files allows; more
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
    /// How long a node that lost its stream still counts as one that may be serving
    #[arg(
        long,
        env = "LATCHKEY_NODE_GRACE_MS",
        default_value_t = 10_000,
        value_name = "MILLISECONDS"
    )]
    pub node_grace_ms: u64,
    /// Count lost Envoys of version 0.1, which report no staleness limit, until they are back or
    /// forgotten
    #[arg(long, env = "LATCHKEY_REQUIRE_STALENESS")]
    pub require_staleness: bool,
    /// Envoys that are counted at most, connected or lost; beyond that lost ones count as unknown,
    /// and others are refused
    #[arg(
        long,
        env = "LATCHKEY_MAX_NODES",
        default_value_t = 10_000,
        value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..)
    )]
    pub max_nodes: u32,
}

/// Where everything is kept.
#[derive(Debug, Clone, Args)]
pub struct StoreConfig {
    /// SQLite database, which `latchkey init` creates
    #[arg(
        long,
        env = "LATCHKEY_DATABASE",
        default_value = "latchkey.db",
        value_name = "PATH"
    )]
    pub database: PathBuf,
    /// Create the database if there is none. For trials: where a volume is not mounted, an empty
    /// database would take the place of the one that Envoys know
    #[arg(long, env = "LATCHKEY_CREATE_DATABASE")]
    pub create_database: bool,
}

/// For how long things are kept.
#[derive(Debug, Clone, Args)]
pub struct RetentionConfig {
    /// Days after which the details of a revoked key are deleted; its digest stays, so that it is
    /// never accepted again. 0 keeps them
    #[arg(
        id = "revoked-keys-days",
        long = "revoked-keys-days",
        env = "LATCHKEY_REVOKED_KEYS_DAYS",
        default_value_t = 400,
        value_name = "DAYS"
    )]
    pub revoked_keys_days: u32,
    /// Days after which usage is deleted. 0 keeps it
    #[arg(
        id = "usage-days",
        long = "usage-days",
        env = "LATCHKEY_USAGE_DAYS",
        default_value_t = 400,
        value_name = "DAYS"
    )]
    pub usage_days: u32,
}

/// The user that the first start makes.
#[derive(Debug, Clone, Args)]
pub struct AdminConfig {
    /// Email address of the first user; without effect while there is an administrator
    #[arg(
        id = "admin-email",
        long = "admin-email",
        env = "LATCHKEY_ADMIN_EMAIL",
        default_value = "admin@localhost"
    )]
    pub email: String,
    /// Their password, at least 12 characters; one is generated and printed once if there is none
    #[arg(
        id = "admin-password",
        long = "admin-password",
        env = "LATCHKEY_ADMIN_PASSWORD",
        hide_env_values = true
    )]
    pub password: Option<Password>,
    /// Make that user although there is an administrator: the way back in when their password is
    /// lost
    #[arg(
        id = "admin-recover",
        long = "admin-recover",
        env = "LATCHKEY_ADMIN_RECOVER"
    )]
    pub recover: bool,
}

/// What keys look like.
#[derive(Debug, Clone, Args)]
pub struct KeyConfig {
    /// What every key begins with
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

/// Where webhooks may be sent.
#[derive(Debug, Clone, Args)]
pub struct WebhookConfig {
    /// Let webhooks be sent to private addresses and over http: for tests, and for networks of
    /// one's own
    #[arg(
        id = "webhook-allow-private",
        long = "webhook-allow-private",
        env = "LATCHKEY_WEBHOOK_ALLOW_PRIVATE"
    )]
    pub allow_private: bool,
}

/// What is logged, to stderr.
#[derive(Debug, Clone, Args)]
pub struct LogConfig {
    /// Form of the log
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

/// Forms of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// What a type alone cannot check.
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
        // Behind a proxy all clients' connections are the proxy's.
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

    /// Whether a start creates the database.
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

/// As it is without a slash at its end, and as a shell takes it in quotes.
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
