//! `latchkey account`: accounts, for the operator.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::{Body, Wait};
use super::confirm::Confirmation;
use super::error::CommandError;
use super::exit::Exit;
use super::pages::Extent;
use super::password::NewPassword;
use super::query::Query;
use super::table::details;
use super::{Context, Run, text};

/// Subcommands of `latchkey account`.
#[derive(Subcommand)]
pub enum Command {
    /// List accounts
    List(ListAccounts),
    /// Create an account with its first administrator
    Create(CreateAccount),
    /// Show one account
    Show(AccountRef),
    /// Edit an account
    Edit(EditAccount),
    /// Delete an account
    Delete(DeleteAccount),
}

/// Arguments of `account list`.
#[derive(Clone, Args)]
pub struct ListAccounts {
    /// Only accounts whose names contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

/// Arguments of `account create`.
#[derive(Clone, Args)]
pub struct CreateAccount {
    /// The account's name
    name: String,
    /// The account's tier
    #[arg(long)]
    tier: String,
    /// Maximum number of keys that are not revoked or expired
    #[arg(long, value_name = "N")]
    max_keys: Option<u32>,
    /// Email address of the account's first administrator
    #[arg(long, value_name = "EMAIL")]
    admin_email: String,
    #[command(flatten)]
    password: NewPassword,
}

/// An account, by its id.
#[derive(Clone, Args)]
pub struct AccountRef {
    /// The account's id
    #[arg(value_name = "ID")]
    id: String,
}

/// Arguments of `account edit`.
#[derive(Clone, Args)]
pub struct EditAccount {
    #[command(flatten)]
    account: AccountRef,
    /// New name
    #[arg(long)]
    name: Option<String>,
    /// New tier
    #[arg(long)]
    tier: Option<String>,
    /// New maximum number of keys that are not revoked or expired
    #[arg(long, value_name = "N", conflicts_with = "no_max_keys")]
    max_keys: Option<u32>,
    /// Remove the limit of keys
    #[arg(long)]
    no_max_keys: bool,
    /// Enable the account again
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Disable the account: refuse all its users and keys
    #[arg(long)]
    disable: bool,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `account delete`.
#[derive(Clone, Args)]
pub struct DeleteAccount {
    #[command(flatten)]
    account: AccountRef,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl ListAccounts {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = Query::default().with("search", self.search);
        self.extent
            .show(context, (&["accounts"], "accounts"), query, HEADINGS, line)
            .await
    }
}

impl CreateAccount {
    async fn run(self, Context { api, output }: &Context) -> Result<Exit, CommandError> {
        let body = self.body(&json!(self.password.read()?));
        let data = api.post(&["accounts"], &Query::default(), &body).await?;
        output.show(&data, || one(&data))?;
        Ok(output.exit(&data))
    }

    fn body(&self, password: &Value) -> Value {
        let admin = json!({ "email": self.admin_email, "password": password });
        Body::default()
            .with("name", Some(self.name.as_str()))
            .with("tier", Some(self.tier.as_str()))
            .with("max_keys", self.max_keys)
            .with("admin", Some(admin))
            .json()
    }
}

impl EditAccount {
    async fn run(self, Context { api, output }: &Context) -> Result<Exit, CommandError> {
        let id = text::plain(&self.account.id);
        if self.disable {
            let what = format!("all requests with keys of {id} are refused from now on");
            self.confirm.ask(&what, false)?;
        }

        let path = ["accounts", &self.account.id];
        let data = api.patch(&path, &self.wait.query(), &self.body()?).await?;
        output.changed(&data, &format!("{id} edited"))
    }

    fn body(&self) -> Result<Value, CommandError> {
        let max_keys = if self.no_max_keys {
            Some(Value::Null)
        } else {
            self.max_keys.map(Value::from)
        };
        let body = Body::default()
            .with("name", self.name.as_deref())
            .with("tier", self.tier.as_deref())
            .with("max_keys", max_keys)
            .with(
                "disabled",
                (self.enable || self.disable).then_some(self.disable),
            );
        body.edit()
    }
}

impl DeleteAccount {
    async fn run(self, Context { api, output }: &Context) -> Result<Exit, CommandError> {
        let id = text::plain(&self.account.id);
        let what = "is closed and all of its keys are revoked permanently";
        self.confirm
            .ask(&format!("the account {id} {what}"), false)?;

        let path = ["accounts", &self.account.id];
        let data = api.delete(&path, &self.wait.query()).await?;
        output.changed(&data, &format!("{id} deleted"))
    }
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        match self {
            Self::List(list) => list.run(context).await,
            Self::Create(create) => create.run(context).await,
            Self::Show(AccountRef { id }) => context.show(&["accounts", &id], one).await,
            Self::Edit(edit) => edit.run(context).await,
            Self::Delete(delete) => delete.run(context).await,
        }
    }
}

const HEADINGS: [&str; 7] = ["ID", "NAME", "TIER", "KEYS", "USERS", "DISABLED", "CREATED"];

fn line(account: &Value) -> [String; 7] {
    [
        text::inline(&account["account_id"]),
        text::inline(&account["name"]),
        text::inline(&account["tier"]),
        keys(account),
        text::inline(&account["users"]),
        text::inline(&account["disabled"]),
        text::date(&account["created_at"]),
    ]
}

fn one(account: &Value) -> String {
    details([
        ("ID", text::inline(&account["account_id"])),
        ("NAME", text::inline(&account["name"])),
        ("TIER", text::inline(&account["tier"])),
        ("KEYS", keys(account)),
        ("USERS", text::inline(&account["users"])),
        ("DISABLED", text::inline(&account["disabled"])),
        ("CREATED", text::date(&account["created_at"])),
    ])
}

/// Formats the number of keys, with the maximum if there is one.
fn keys(account: &Value) -> String {
    match account["max_keys"].as_u64() {
        Some(most) => format!("{} of {most}", text::inline(&account["keys"])),
        None => text::inline(&account["keys"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn accounts_are_listed_with_their_usage() {
        let account = json!({
            "account_id": "acc_1", "name": "a", "tier": "pro", "keys": 3, "max_keys": 5, "users": 1, "disabled": false,
            "created_at": "2027-01-15T08:00:00Z",
        });
        assert_eq!(
            line(&account),
            ["acc_1", "a", "pro", "3 of 5", "1", "no", "2027-01-15 08:00"]
        );
        assert!(one(&account).contains("KEYS       3 of 5\n"));
        assert_eq!(keys(&json!({"keys": 3, "max_keys": null})), "3");
    }

    #[test]
    fn account_is_created_with_its_administrator() {
        let parse = |arguments: &[&str]| {
            Line::try_parse_from(["account"].iter().chain(arguments))
                .unwrap()
                .command
        };
        let arguments = [
            "create",
            "a",
            "--tier",
            "pro",
            "--admin-email",
            "a@b.c",
            "--max-keys",
            "5",
        ];
        let Command::Create(create) = parse(&arguments) else {
            panic!()
        };
        let expected = json!({"name": "a", "tier": "pro", "max_keys": 5, "admin": {"email": "a@b.c", "password": "secret"}});
        assert_eq!(create.body(&json!("secret")), expected);
        let Command::Edit(edit) = parse(&["edit", "acc_1", "--no-max-keys", "--disable"]) else {
            panic!()
        };
        assert_eq!(
            edit.body().unwrap(),
            json!({"max_keys": null, "disabled": true})
        );
        let Command::Edit(edit) = parse(&["edit", "acc_1"]) else {
            panic!()
        };
        assert!(edit.body().is_err());
    }
}
