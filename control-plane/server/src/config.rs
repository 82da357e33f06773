//! The operator's settings: one struct per concern. Each field is a flag, an environment variable
//! and a key in a file.

mod file;
mod http;
mod stream;

pub use crate::setting::InvalidSetting;
pub use file::{InvalidFile, parse};
pub use http::HttpConfig;
pub use stream::StreamConfig;

use clap::{Args, Parser, ValueEnum};
use latchkey_model::secret::{NodeToken, Password};
use latchkey_model::text;
use latchkey_policy::key::{InvalidPrefix, KeyFormat};
use latchkey_store::OpenMode;
use std::path::PathBuf;

use crate::at_rest::AtRestConfig;
use crate::usage::cleanup::RetentionTimes;
use crate::webhook::reach::AllowedDestinations;

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

impl RetentionConfig {
    /// Returns the retention times. 0 days are no limit.
    pub(crate) fn times(&self) -> RetentionTimes {
        let seconds = |days: u32| {
            if days == 0 {
                i64::MAX
            } else {
                i64::from(days) * 24 * 60 * 60
            }
        };

        RetentionTimes {
            revoked_keys: seconds(self.revoked_keys_days),
            usage: seconds(self.usage_days),
        }
    }
}

impl StoreConfig {
    /// Returns whether a missing database is created.
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

impl WebhookConfig {
    /// Returns the allowed destinations.
    pub(crate) fn reach(&self) -> AllowedDestinations {
        if self.allow_private {
            AllowedDestinations::Private
        } else {
            AllowedDestinations::Public
        }
    }
}

/// Parses the prefix.
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
    fn short_secret_is_refused_unprinted() {
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
    fn limits_of_zero_are_refused() {
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
    fn invalid_key_prefix_is_refused() {
        let refused =
            Config::try_parse_from(["--node-token", TOKEN, "--key-prefix", "L_K"]).unwrap_err();
        assert!(refused.to_string().contains("--key-prefix"), "{refused}");
    }
}
