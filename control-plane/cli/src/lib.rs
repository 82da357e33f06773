//! The commands that people give: each calls the API, prints what it answers, and ends with a code
//! that scripts can use.
//!
//! | module | owns |
//! |---|---|
//! | `connection`, `client`, `query`, `pages` | asking the API |
//! | `login`, `session_file`, `password`, `secret`, `destination`, `secret_file` | secrets: where they come from, and where they go |
//! | `output`, `table`, `list_document`, `progress`, `text`, `exit`, `error` | answering people and scripts |
//! | `arguments`, `moment`, `document`, `csv`, `confirm` | what people write |
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
mod moment;
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
mod usage;
mod user;
mod webhook;

use clap::{Args, Subcommand};
use latchkey_policy::key::KeyDigest;

use client::Api;
use connection::ApiArgs;
use output::Output;

pub use completions::Completions;
pub use error::CommandError;
pub use exit::{EXIT_CODES, Exit};
pub use explain::Explain;
pub use login::{Login, Logout};

/// Checks a row of an import as the API would, as far as that needs no database: takes its JSON and
/// the time in Unix seconds, returns the key's digest and the name as it would be stored, or a
/// sentence.
pub type CheckImportRow = fn(&[u8], i64) -> Result<(KeyDigest, String), String>;

/// Commands that call the API.
#[derive(Subcommand)]
pub enum Command {
    /// Open a session, and save it for the commands after this one
    Login(Login),
    /// End the saved session
    Logout(Logout),
    /// API keys
    Key(Group<key::Command>),
    /// Who acts for the account
    User(Group<user::Command>),
    /// Parts of the account that users and keys can be kept to
    Subaccount(Group<subaccount::Command>),
    /// What scopes and route rules name
    Service(Group<service::Command>),
    /// Accounts, for the operator
    Account(Group<account::Command>),
    /// Named sets of permissions
    Role(Group<role::Command>),
    /// Named limits
    Tier(Group<tier::Command>),
    /// Which requests need what
    Route(Group<route::Command>),
    /// Each Envoy: how far it is, since when
    Node(Group<node::Command>),
    /// What Envoys present to be served
    NodeToken(Group<node_token::Command>),
    /// Who changed what, when and from where
    Audit(Single<audit::Audit>),
    /// Requests by key, code and time
    Usage(Single<usage::Usage>),
    /// Where events are sent
    Webhook(Group<webhook::Command>),
    /// Make everything as a file says
    Apply(Single<apply::Apply>),
    /// Tell what the filter would decide on a request, and why. Ends with 0 if the request would
    /// pass, with 3 if not
    Explain(Explain),
}

impl Command {
    /// Calls, prints, and tells how it ended.
    ///
    /// # Errors
    /// When it came to nothing.
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

/// What a command has to work with.
struct Context {
    api: Api,
    output: Output,
}

/// What is done with the API at hand.
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

/// A command of its own.
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
