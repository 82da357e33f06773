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
    List(List),
    /// Create an account with its first administrator
    Create(Create),
    /// Show one account
    Show(Which),
    /// Edit an account
    Edit(Edit),
    /// Delete an account
    Delete(Delete),
}

/// Arguments of `account list`.
#[derive(Clone, Args)]
pub struct List {
    /// Only accounts whose names contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

/// Arguments of `account create`.
#[derive(Clone, Args)]
pub struct Create {
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
pub struct Which {
    /// The account's id
    #[arg(value_name = "ID")]
    account: String,
}

/// Arguments of `account edit`.
#[derive(Clone, Args)]
pub struct Edit {
    #[command(flatten)]
    which: Which,
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
pub struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl Create {
    fn body(&self, password: &Value) -> Value {
        let body = Body::default()
            .with("name", Some(self.name.as_str()))
            .with("tier", Some(self.tier.as_str()));
        let body = body.with("max_keys", self.max_keys);
        body.with(
            "admin",
            Some(json!({ "email": self.admin_email, "password": password })),
        )
        .json()
    }
}

impl Edit {
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

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let (Context { api, output }, none) = (context, Query::default());
        match self {
            Self::List(List { search, extent }) => {
                let query = none.with("search", search);
                extent
                    .show(context, (&["accounts"], "accounts"), query, HEADINGS, line)
                    .await
            }
            Self::Create(create) => {
                let body = create.body(&json!(create.password.read()?));
                let data = api.post(&["accounts"], &none, &body).await?;
                output.show(&data, || one(&data))?;
                Ok(output.exit(&data))
            }
            Self::Show(Which { account }) => {
                let data = api.get(&["accounts", &account], &none).await?;
                output.show(&data, || one(&data))?;
                Ok(Exit::Done)
            }
            Self::Edit(edit) => {
                if edit.disable {
                    let account = text::plain(&edit.which.account);
                    edit.confirm.ask(
                        &format!("all requests with keys of {account} are refused from now on"),
                        false,
                    )?;
                }
                let data = api
                    .patch(
                        &["accounts", &edit.which.account],
                        &edit.wait.query(),
                        &edit.body()?,
                    )
                    .await?;
                output.changed(
                    &data,
                    &format!("{} edited", text::plain(&edit.which.account)),
                )
            }
            Self::Delete(Delete {
                which: Which { account },
                confirm,
                wait,
            }) => {
                let what = "is closed and all of its keys are revoked permanently";
                confirm.ask(
                    &format!("the account {} {what}", text::plain(&account)),
                    false,
                )?;
                let data = api.delete(&["accounts", &account], &wait.query()).await?;
                output.changed(&data, &format!("{} deleted", text::plain(&account)))
            }
        }
    }
}

const HEADINGS: [&str; 7] = ["ID", "NAME", "TIER", "KEYS", "USERS", "DISABLED", "CREATED"];

fn line(account: &Value) -> [String; 7] {
    [
        text::of(&account["account_id"]),
        text::of(&account["name"]),
        text::of(&account["tier"]),
        keys(account),
        text::of(&account["users"]),
        text::of(&account["disabled"]),
        text::date(&account["created_at"]),
    ]
}

fn one(account: &Value) -> String {
    details([
        ("ID", text::of(&account["account_id"])),
        ("NAME", text::of(&account["name"])),
        ("TIER", text::of(&account["tier"])),
        ("KEYS", keys(account)),
        ("USERS", text::of(&account["users"])),
        ("DISABLED", text::of(&account["disabled"])),
        ("CREATED", text::date(&account["created_at"])),
    ])
}

/// Formats the number of keys, with the maximum if there is one.
fn keys(account: &Value) -> String {
    match account["max_keys"].as_u64() {
        Some(most) => format!("{} of {most}", text::of(&account["keys"])),
        None => text::of(&account["keys"]),
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
    fn accounts_are_told_with_how_full_they_are() {
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
    fn an_account_is_made_with_its_administrator() {
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
