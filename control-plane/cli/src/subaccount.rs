//! `latchkey subaccount`: parts of the account that users and keys can be restricted to.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::{self, Wait};
use super::confirm::Confirmation;
use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::{Context, Run, text};

/// Subcommands of `latchkey subaccount`.
#[derive(Subcommand)]
pub enum Command {
    /// List the subaccounts that you may act on
    List,
    /// Create a subaccount
    Create(CreateSubaccount),
    /// Delete a subaccount
    Delete(DeleteSubaccount),
}

/// The subaccount to create.
#[derive(Clone, Args)]
pub struct CreateSubaccount {
    /// The subaccount's name
    name: String,
    #[command(flatten)]
    wait: Wait,
}

/// Arguments of `subaccount delete`.
#[derive(Clone, Args)]
pub struct DeleteSubaccount {
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
                let none = Query::default();
                context
                    .list((&["subaccounts"], "subaccounts"), &none, HEADINGS, line)
                    .await
            }
            Self::Create(CreateSubaccount { name, wait }) => {
                let data = api
                    .post(&["subaccounts"], &wait.query(), &json!({ "name": name }))
                    .await?;
                output.changed(
                    &data,
                    &format!("{} created", text::inline(&data["subaccount_id"])),
                )
            }
            Self::Delete(DeleteSubaccount {
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

const HEADINGS: [&str; 3] = ["ID", "NAME", "CREATED"];

fn line(subaccount: &Value) -> [String; 3] {
    [
        text::inline(&subaccount["subaccount_id"]),
        text::inline(&subaccount["name"]),
        text::date(&subaccount["created_at"]),
    ]
}
