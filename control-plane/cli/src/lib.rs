//! The commands: each calls the API, prints the response, and exits with a code for scripts.
//!
//! | module | owns |
//! |---|---|
//! | `connection`, `client`, `query`, `pages` | asking the API |
//! | `login`, `session_file`, `password`, `secret`, `destination`, `secret_file` | secrets: where they come from, and where they go |
//! | `output`, `table`, `list_document`, `progress`, `text`, `exit`, `error` | answering people and scripts |
//! | `arguments`, `timestamp`, `document`, `csv`, `confirm` | what people write |
//! | `key`, `user`, … | a command for each thing that the API has |
//! | `apply` | all of it from one file |

mod account;
mod apply;
mod arguments;
mod audit;
mod client;
mod completions;
mod confirm;
mod connection;
mod csv;
mod destination;
mod document;
mod error;
mod exit;
mod explain;
mod key;
mod list_document;
mod login;
mod node;
mod node_token;
mod output;
mod pages;
mod password;
mod progress;
mod query;
mod role;
mod route;
mod secret;
mod secret_file;
mod service;
mod session_file;
mod subaccount;
mod table;
mod text;
mod tier;
mod timestamp;
mod usage;
mod user;
mod webhook;

use clap::{Args, Subcommand};
use latchkey_policy::key::KeyDigest;
use serde_json::Value;

use client::Api;
use connection::ApiArgs;
use output::Output;
use query::Query;

pub use completions::Completions;
pub use error::CommandError;
pub use exit::{EXIT_CODES, Exit};
pub use explain::Explain;
pub use login::{Login, Logout};

/// Checks a row of an import like the API, except for what needs a database. Takes the row as JSON
/// and the current time in Unix seconds. Returns the key's digest and the name as it would be
/// stored, or an error message.
pub type CheckImportRow = fn(&[u8], i64) -> Result<(KeyDigest, String), String>;

/// Commands that call the API.
#[derive(Subcommand)]
pub enum Command {
    /// Log in and save the session for later commands
    Login(Login),
    /// Log out and delete the saved session
    Logout(Logout),
    /// Manage API keys
    Key(Group<key::Command>),
    /// Manage the account's users
    User(Group<user::Command>),
    /// Manage subaccounts, parts of the account that users and keys can be restricted to
    Subaccount(Group<subaccount::Command>),
    /// Manage the services that scopes and route rules refer to
    Service(Group<service::Command>),
    /// Manage accounts, as the operator
    Account(Group<account::Command>),
    /// List roles, named sets of permissions
    Role(Group<role::Command>),
    /// Manage tiers, named limits
    Tier(Group<tier::Command>),
    /// Manage route rules, which define what requests require
    Route(Group<route::Command>),
    /// Show the connected Envoys and their progress
    Node(Group<node::Command>),
    /// Manage node tokens, the credentials of Envoys
    NodeToken(Group<node_token::Command>),
    /// Show who changed what, when and from where
    Audit(Single<audit::Audit>),
    /// Count requests by key, code and time
    Usage(Single<usage::Usage>),
    /// Manage webhooks, which receive events
    Webhook(Group<webhook::Command>),
    /// Change everything to match a file
    Apply(Single<apply::Apply>),
    /// Show the filter's verdict on a request, and why. Exits with 0 if the request would pass,
    /// with 3 if not
    Explain(Explain),
}

impl Command {
    /// Runs the command and returns its exit code.
    ///
    /// # Errors
    /// If the command failed.
    pub async fn run(self, check_import_row: CheckImportRow) -> Result<Exit, CommandError> {
        match self {
            Self::Login(login) => login.run().await,
            Self::Logout(logout) => logout.run().await,
            Self::Key(group) => {
                let command = key::KeyCommand {
                    command: group.command,
                    check_import_row,
                };
                run(group.api, command).await
            }
            Self::User(group) => run(group.api, group.command).await,
            Self::Subaccount(group) => run(group.api, group.command).await,
            Self::Service(group) => run(group.api, group.command).await,
            Self::Account(group) => run(group.api, group.command).await,
            Self::Role(group) => run(group.api, group.command).await,
            Self::Tier(group) => run(group.api, group.command).await,
            Self::Route(group) => run(group.api, group.command).await,
            Self::Node(group) => run(group.api, group.command).await,
            Self::NodeToken(group) => run(group.api, group.command).await,
            Self::Audit(single) => run(single.api, single.command).await,
            Self::Usage(single) => run(single.api, single.command).await,
            Self::Webhook(group) => run(group.api, group.command).await,
            Self::Apply(single) => run(single.api, single.command).await,
            Self::Explain(explain) => explain.run().await,
        }
    }
}

/// The API client and the output of a command.
struct Context {
    api: Api,
    output: Output,
}

impl Context {
    /// Reads the resource at `path` and prints it, formatted by `people` or as JSON.
    async fn show(
        &self,
        path: &[&str],
        people: impl FnOnce(&Value) -> String,
    ) -> Result<Exit, CommandError> {
        let data = self.api.get(path, &Query::default()).await?;
        self.output.show(&data, || people(&data))?;
        Ok(Exit::Done)
    }

    /// Reads a list without pages at `path` and prints it. The entries of the response's field
    /// `list` become rows of a table with `headings`, formatted by `line`.
    async fn list<const N: usize>(
        &self,
        (path, list): (&[&str], &str),
        query: &Query,
        headings: [&str; N],
        line: impl Fn(&Value) -> [String; N],
    ) -> Result<Exit, CommandError> {
        let data = self.api.get(path, query).await?;
        let entries = text::entries(&data, list);
        self.output
            .show(&data, || table::rows(headings, entries, line))?;
        Ok(Exit::Done)
    }
}

/// A command that calls the API.
trait Run {
    async fn run(self, context: &Context) -> Result<Exit, CommandError>;
}

/// Commands about the same thing.
#[derive(Args)]
pub struct Group<S: Subcommand> {
    #[command(subcommand)]
    command: S,
    #[command(flatten)]
    api: ApiArgs,
}

/// A command without subcommands.
#[derive(Args)]
pub struct Single<A: Args> {
    #[command(flatten)]
    command: A,
    #[command(flatten)]
    api: ApiArgs,
}

async fn run(api: ApiArgs, command: impl Run) -> Result<Exit, CommandError> {
    let context = Context {
        api: api.open().await?,
        output: Output::new(api.json, api.ignore_lost),
    };
    let ended = command.run(&context).await;
    context.api.close().await;
    ended
}
