//! `latchkey subaccount`: parts of the account that users and keys can be restricted to.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::{self, Wait};
use super::confirm::Confirmation;
use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::table::Table;
use super::{Context, Run, text};

/// Subcommands of `latchkey subaccount`.
#[derive(Subcommand)]
pub enum Command {
    /// List the subaccounts that you may act on
    List,
    /// Create a subaccount
    Create(Create),
    /// Delete a subaccount
    Delete(Delete),
}

/// A subaccount to be.
#[derive(Clone, Args)]
pub struct Create {
    /// The subaccount's name
    name: String,
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `subaccount delete`.
#[derive(Clone, Args)]
pub struct Delete {
    /// The subaccount's name or id
    #[arg(value_name = "ID|NAME")]
    subaccount: String,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Context { api, output } = context;
        match self {
            Self::List => {
                let data = api.get(&["subaccounts"], &Query::default()).await?;
                output.show(&data, || table(text::entries(&data, "subaccounts")))?;
                Ok(Exit::Done)
            }
            Self::Create(Create { name, wait }) => {
                let data = api
                    .post(&["subaccounts"], &wait.query(), &json!({ "name": name }))
                    .await?;
                output.changed(
                    &data,
                    &format!("{} created", text::of(&data["subaccount_id"])),
                )
            }
            Self::Delete(Delete {
                subaccount,
                confirm,
                wait,
            }) => {
                let what = "is deleted permanently: keys and users no longer act on it";
                confirm.ask(&format!("{} {what}", text::plain(&subaccount)), false)?;
                let ids = arguments::subaccount_ids(context, &[subaccount]).await?;
                let id = ids.first().map_or("", String::as_str);
                let data = api.delete(&["subaccounts", id], &wait.query()).await?;
                output.changed(&data, &format!("{} deleted", text::plain(id)))
            }
        }
    }
}

fn table(subaccounts: &[Value]) -> String {
    let mut table = Table::new(["ID", "NAME", "CREATED"]);
    for subaccount in subaccounts {
        let id = text::of(&subaccount["subaccount_id"]);
        table.line([
            id,
            text::of(&subaccount["name"]),
            text::date(&subaccount["created_at"]),
        ]);
    }
    table.shown()
}
