//! `latchkey webhook`: where events are sent.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::Body;
use super::destination::Destination;
use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::table::{Table, details};
use super::{Context, Run, text};

/// What is done with webhooks.
#[derive(Subcommand)]
pub enum Command {
    /// List webhooks
    List,
    /// Make a webhook, and show or save this once the secret that its messages are signed with
    Create(Create),
    /// Delete a webhook
    Delete(Delete),
}

/// A webhook to be.
#[derive(Clone, Args)]
pub struct Create {
    /// Where to send events
    #[arg(value_name = "URL")]
    receiver: String,
    /// An event to send, such as key.created
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',', required = true)]
    events: Vec<String>,
    /// How many days before a key expires that is told
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    expiring_days: Vec<u32>,
    #[command(flatten)]
    destination: Destination,
}

/// Which is to go.
#[derive(Clone, Args)]
pub struct Delete {
    /// Its id
    #[arg(value_name = "ID")]
    webhook: String,
}

impl Create {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let ready = self.destination.ready()?;
        let data = context.api.post(&["webhooks"], &Query::default(), &self.body()).await?;
        let id = text::field(&data, "webhook_id").to_owned();
        ready.deliver(context.output, data, "secret", one).map_err(|error| {
            let id = text::plain(&id);
            CommandError::Halfway(format!("{error}; nobody has seen the secret of {id}: delete it and make another"))
        })?;
        Ok(Exit::Done)
    }

    fn body(&self) -> Value {
        let days = (!self.expiring_days.is_empty()).then(|| json!(self.expiring_days));
        Body::default()
            .with("url", Some(self.receiver.as_str()))
            .listed("events", &self.events)
            .with("expiring_days", days)
            .json()
    }
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Context { api, output } = context;
        match self {
            Self::List => {
                let data = api.get(&["webhooks"], &Query::default()).await?;
                output.show(&data, || table(text::entries(&data, "webhooks")))?;
                Ok(Exit::Done)
            }
            Self::Create(create) => create.run(context).await,
            Self::Delete(Delete { webhook }) => {
                let data = api.delete(&["webhooks", &webhook], &Query::default()).await?;
                output.changed(&data, &format!("{} deleted", text::plain(&webhook)))
            }
        }
    }
}

fn table(webhooks: &[Value]) -> String {
    let mut table = Table::new(["ID", "URL", "EVENTS", "ACTIVE", "CREATED"]);
    for webhook in webhooks {
        table.line([
            text::of(&webhook["webhook_id"]),
            text::of(&webhook["url"]),
            text::of(&webhook["events"]),
            text::of(&webhook["active"]),
            text::date(&webhook["created_at"]),
        ]);
    }
    table.shown()
}

fn one(webhook: &Value) -> String {
    details([
        ("ID", text::of(&webhook["webhook_id"])),
        ("URL", text::of(&webhook["url"])),
        ("EVENTS", text::of(&webhook["events"])),
        ("EXPIRING DAYS", text::of(&webhook["expiring_days"])),
        ("ACTIVE", text::of(&webhook["active"])),
        ("CREATED", text::date(&webhook["created_at"])),
    ])
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
    fn a_webhook_is_made_for_events() {
        let arguments =
            ["webhook", "create", "https://a/b", "--event", "key.created,key.revoked", "--expiring-days", "30,7"];
        let Command::Create(create) = Line::try_parse_from(arguments).unwrap().command else { panic!() };
        let expected =
            json!({"url": "https://a/b", "events": ["key.created", "key.revoked"], "expiring_days": [30, 7]});
        assert_eq!(create.body(), expected);
        assert!(Line::try_parse_from(["webhook", "create", "https://a/b"]).is_err());
        let told =
            one(&json!({"webhook_id": "whk_1", "url": "https://a/b", "events": ["key.created"], "active": true}));
        assert!(told.starts_with("ID              whk_1\nURL             https://a/b\n"), "{told}");
    }
}
