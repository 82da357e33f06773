//! `latchkey user`: the account's users, with their roles and permissions.

mod create;
mod delete;
mod edit;
mod list;
mod password;
mod show;
mod view;

use clap::{Args, Subcommand};

use super::arguments::{self, Body};
use super::error::CommandError;
use super::exit::Exit;
use super::{Context, Run};
use show::UserRef;

/// Subcommands of `latchkey user`.
#[derive(Subcommand)]
pub enum Command {
    /// List users
    List(list::ListUsers),
    /// Create a user
    Create(create::CreateUser),
    /// Show one user
    Show(UserRef),
    /// Edit a user
    Edit(edit::EditUser),
    /// Delete a user and revoke their keys
    Delete(delete::DeleteUser),
    /// Set your own password, or another user's
    Password(password::SetPassword),
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        match self {
            Self::List(list) => list.run(context).await,
            Self::Create(create) => create.run(context).await,
            Self::Show(user) => user.run(context).await,
            Self::Edit(edit) => edit.run(context).await,
            Self::Delete(delete) => delete.run(context).await,
            Self::Password(password) => password.run(context).await,
        }
    }
}

/// The roles, permissions and subaccounts of a user.
#[derive(Debug, Clone, Args)]
struct UserAccess {
    /// A role of the user
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',')]
    roles: Vec<String>,
    /// A permission of the user
    #[arg(long = "permission", value_name = "PERMISSION", value_delimiter = ',')]
    permissions: Vec<String>,
    /// A subaccount that the user may act on, by name or id, or all
    #[arg(
        long = "subaccount",
        value_name = "SUBACCOUNT|all",
        value_delimiter = ','
    )]
    subaccounts: Vec<String>,
}

impl UserAccess {
    async fn body(&self, context: &Context) -> Result<Body, CommandError> {
        let subaccounts = arguments::subaccount_ids(context, &self.subaccounts).await?;
        let selection = (!subaccounts.is_empty())
            .then(|| arguments::selection("--subaccount", &subaccounts))
            .transpose()?;
        let body = Body::default()
            .listed("roles", &self.roles)
            .listed("permissions", &self.permissions);
        Ok(body.with("subaccounts", selection))
    }
}
