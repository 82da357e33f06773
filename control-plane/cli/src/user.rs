//! `latchkey user`: the account's users, with their roles and permissions.

use clap::{Args, Subcommand};
use latchkey_model::text::normalized_email;
use serde_json::{Value, json};

use super::arguments::{self, Body, Wait};
use super::confirm::Confirmation;
use super::error::CommandError;
use super::exit::Exit;
use super::pages::{self, Extent};
use super::password::{self, NewPassword};
use super::query::Query;
use super::secret::Secret;
use super::table::details;
use super::{Context, Run, output, text};

/// Subcommands of `latchkey user`.
#[derive(Subcommand)]
pub enum Command {
    /// List users
    List(List),
    /// Create a user
    Create(Create),
    /// Show one user
    Show(Which),
    /// Edit a user
    Edit(Edit),
    /// Delete a user and revoke their keys
    Delete(Delete),
    /// Set your own password, or another user's
    Password(SetPassword),
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        match self {
            Self::List(list) => list.run(context).await,
            Self::Create(create) => create.run(context).await,
            Self::Show(which) => which.run(context).await,
            Self::Edit(edit) => edit.run(context).await,
            Self::Delete(delete) => delete.run(context).await,
            Self::Password(password) => password.run(context).await,
        }
    }
}

/// Arguments of `user list`.
#[derive(Clone, Args)]
pub struct List {
    /// Only users whose email addresses contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

impl List {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = Query::default().with("search", self.search);
        self.extent
            .show(context, (&["users"], "users"), query, HEADINGS, line)
            .await
    }
}

/// The roles, permissions and subaccounts of a user.
#[derive(Debug, Clone, Args)]
struct Holding {
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

impl Holding {
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

/// A user to be.
#[derive(Clone, Args)]
pub struct Create {
    /// The user's email address
    #[arg(value_name = "EMAIL")]
    address: String,
    #[command(flatten)]
    holding: Holding,
    #[command(flatten)]
    password: NewPassword,
}

impl Create {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let body = self.holding.body(context).await?;
        let password = self.password.read()?;
        let body = body
            .with("email", Some(self.address))
            .with("password", Some(json!(password)));
        let data = context
            .api
            .post(&["users"], &Query::default(), &body.json())
            .await?;
        context.output.show(&data, || one(&data))?;
        Ok(Exit::Done)
    }
}

/// A user, by id or email address.
#[derive(Clone, Args)]
pub struct Which {
    /// The user's id or email address
    #[arg(value_name = "ID|EMAIL")]
    user: String,
}

impl Which {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let id = self.id(context).await?;
        let data = context.api.get(&["users", &id], &Query::default()).await?;
        context.output.show(&data, || one(&data))?;
        Ok(Exit::Done)
    }

    async fn id(&self, context: &Context) -> Result<String, CommandError> {
        if !self.user.contains('@') {
            return Ok(self.user.clone());
        }
        let query = Query::default().with("search", Some(&self.user));
        let found = pages::all(&context.api, &["users"], "users", query).await?;
        let found = found
            .iter()
            .find(|user| text::field(user, "email") == normalized_email(&self.user));
        let nobody =
            || CommandError::NotFound(format!("no user is named {}", text::plain(&self.user)));
        Ok(text::field(found.ok_or_else(nobody)?, "user_id").to_owned())
    }
}

/// Arguments of `user edit`. Omitted attributes stay unchanged; a given list replaces the current
/// one.
#[derive(Clone, Args)]
pub struct Edit {
    #[command(flatten)]
    which: Which,
    /// New email address
    #[arg(long, value_name = "EMAIL")]
    new_email: Option<String>,
    #[command(flatten)]
    holding: Holding,
    /// Remove all roles
    #[arg(long, conflicts_with = "roles")]
    clear_roles: bool,
    /// Remove all additional permissions
    #[arg(long, conflicts_with = "permissions")]
    clear_permissions: bool,
    /// Remove all subaccounts
    #[arg(long, conflicts_with = "subaccounts")]
    clear_subaccounts: bool,
    /// Enable the user again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Disable the user and refuse their keys
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl Edit {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        if self.disable {
            let user = text::plain(&self.which.user);
            self.confirm.ask(
                &format!("{user} and all requests with their keys are refused from now on"),
                false,
            )?;
        }
        let id = self.which.id(context).await?;
        let none = |cleared: bool| cleared.then(|| json!([]));
        let body = self.holding.body(context).await?;
        let body = body
            .with("roles", none(self.clear_roles))
            .with("permissions", none(self.clear_permissions))
            .with("subaccounts", none(self.clear_subaccounts))
            .with("email", self.new_email.as_deref())
            .with(
                "disabled",
                (self.enable || self.disable).then_some(self.disable),
            );
        let data = context
            .api
            .patch(&["users", &id], &self.wait.query(), &body.edit()?)
            .await?;
        let told = || {
            format!(
                "{}\nedited: {}\n",
                one(&data),
                output::enforcement(&data).unwrap_or_default()
            )
        };
        context.output.show(&data, told)?;
        Ok(context.output.exit(&data))
    }
}

/// Arguments of `user delete`.
#[derive(Clone, Args)]
pub struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl Delete {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let user = text::plain(&self.which.user);
        self.confirm.ask(
            &format!("the user {user} is deleted and all of their keys are revoked permanently"),
            false,
        )?;
        let id = self.which.id(context).await?;
        let data = context
            .api
            .delete(&["users", &id], &self.wait.query())
            .await?;
        context.output.changed(&data, &deleted(&data, &id))
    }
}

/// Describes a deleted user. The response has the number of revoked keys, or a list of them.
fn deleted(data: &Value, id: &str) -> String {
    let keys = match &data["revoked_keys"] {
        Value::Array(keys) => keys.len().to_string(),
        number => text::of(number),
    };
    format!("{} deleted, {keys} keys revoked", text::plain(id))
}

/// Arguments of `user password`. The new password is read from LATCHKEY_NEW_PASSWORD, stdin or the
/// terminal; your current one from LATCHKEY_PASSWORD or the terminal.
#[derive(Clone, Args)]
pub struct SetPassword {
    /// Id or email address of another user (default: your own password)
    #[arg(value_name = "ID|EMAIL")]
    user: Option<String>,
    #[command(flatten)]
    new: NewPassword,
}

impl SetPassword {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = Query::default();
        let data = match self.user {
            None => {
                let present = Secret::of_env("LATCHKEY_PASSWORD");
                let present = present.map_or_else(|| password::ask("Current password: "), Ok)?;
                let body = json!({ "current_password": present, "new_password": self.new.read()? });
                context
                    .api
                    .put(&["users", "me", "password"], &query, &body)
                    .await?
            }
            Some(user) => {
                let id = Which { user }.id(context).await?;
                let body = json!({ "password": self.new.read()? });
                context.api.patch(&["users", &id], &query, &body).await?
            }
        };
        context.output.changed(&data, "password set")
    }
}

const HEADINGS: [&str; 6] = ["ID", "EMAIL", "ROLES", "SUBACCOUNTS", "DISABLED", "CREATED"];

fn line(user: &Value) -> [String; 6] {
    [
        text::of(&user["user_id"]),
        text::of(&user["email"]),
        text::of(&user["roles"]),
        text::of(&user["subaccounts"]),
        text::of(&user["disabled"]),
        text::date(&user["created_at"]),
    ]
}

fn one(user: &Value) -> String {
    details([
        ("ID", text::of(&user["user_id"])),
        ("EMAIL", text::of(&user["email"])),
        ("ROLES", text::of(&user["roles"])),
        ("PERMISSIONS", text::of(&user["permissions"])),
        ("SUBACCOUNTS", text::of(&user["subaccounts"])),
        ("DISABLED", text::of(&user["disabled"])),
        ("CREATED", text::date(&user["created_at"])),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_lines_and_deletions_say_what_went_with_them() {
        let user = json!({
            "user_id": "usr_1", "email": "a@b.c", "roles": ["admin"], "subaccounts": "all", "disabled": false,
            "created_at": "2027-01-15T08:00:00Z",
        });
        assert_eq!(
            line(&user),
            ["usr_1", "a@b.c", "admin", "all", "no", "2027-01-15 08:00"]
        );
        assert_eq!(
            deleted(&json!({"revoked_keys": 3}), "usr_1"),
            "usr_1 deleted, 3 keys revoked"
        );
        assert_eq!(
            deleted(&json!({"revoked_keys": ["key_1"]}), "usr_1"),
            "usr_1 deleted, 1 keys revoked"
        );
    }
}
