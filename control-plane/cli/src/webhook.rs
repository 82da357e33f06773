//! `latchkey webhook`: receivers of events.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::{Body, Repeat};
use super::confirm::Confirmation;
use super::destination::Destination;
use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::table::details;
use super::timestamp::Span;
use super::{Context, Run, text};

/// Subcommands of `latchkey webhook`.
#[derive(Subcommand)]
pub enum Command {
    /// List webhooks
    List,
    /// Create a webhook and show or save its signing secret once
    Create(CreateWebhook),
    /// Give a webhook a new secret and show or save it once; messages are also signed with the old
    /// secret until the overlap ends
    Rotate(RotateSecret),
    /// List the newest deliveries of a webhook
    Deliveries(ListDeliveries),
    /// Send deliveries of a webhook again at once, whatever their state
    Resend(ResendDeliveries),
    /// Delete a webhook
    Delete(DeleteWebhook),
}

/// The webhook to create.
#[derive(Clone, Args)]
pub struct CreateWebhook {
    /// URL to send events to
    #[arg(value_name = "URL")]
    receiver: String,
    /// An event to send, such as key.created (default: all events)
    #[arg(
        long = "event",
        value_name = "EVENT",
        value_delimiter = ',',
        required = true
    )]
    events: Vec<String>,
    /// Number of days before a key's expiry to send key.expiring
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    expiring_days: Vec<u32>,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    repeat: Repeat,
}

/// The webhook whose secret to rotate.
#[derive(Clone, Args)]
pub struct RotateSecret {
    /// The webhook's id
    #[arg(value_name = "ID")]
    webhook: String,
    /// Time for which messages are also signed with the old secret, such as 24h; 0s ends it at once
    #[arg(long, value_name = "SPAN", default_value = "24h")]
    overlap: Span,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    repeat: Repeat,
}

/// The deliveries to list.
#[derive(Clone, Args)]
pub struct ListDeliveries {
    /// The webhook's id
    #[arg(value_name = "ID")]
    webhook: String,
    /// Only deliveries in this state
    #[arg(long, value_name = "STATE", value_parser = ["pending", "delivered", "failed"])]
    state: Option<String>,
}

/// The deliveries to send again.
#[derive(Clone, Args)]
pub struct ResendDeliveries {
    /// The webhook's id
    #[arg(value_name = "ID")]
    webhook: String,
    /// Ids of deliveries
    #[arg(value_name = "DELIVERY", required = true)]
    deliveries: Vec<String>,
}

/// Arguments of `webhook delete`.
#[derive(Clone, Args)]
pub struct DeleteWebhook {
    /// The webhook's id
    #[arg(value_name = "ID")]
    webhook: String,
    #[command(flatten)]
    confirm: Confirmation,
}

impl CreateWebhook {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let ready = self.destination.ready()?;
        let data = context
            .api
            .post_once(&["webhooks"], &Query::default(), &self.body(), &self.repeat)
            .await?;
        let id = text::field(&data, "webhook_id").to_owned();
        if Repeat::is_repeated(&data) {
            let made = format!(
                "{} was created by an earlier call, and its secret is not shown again",
                text::plain(&id)
            );
            return Err(CommandError::PartiallyApplied(format!(
                "{made}: delete it and create another one"
            )));
        }

        ready
            .deliver(context.output, data, "secret", one)
            .map_err(|error| {
                let id = text::plain(&id);
                CommandError::PartiallyApplied(format!(
                    "{error}; the secret of {id} was never shown: delete it and create another one"
                ))
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

impl RotateSecret {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let ready = self.destination.ready()?;
        let Span(seconds) = self.overlap;
        let path = ["webhooks", &self.webhook, "rotate-secret"];
        let body = json!({ "overlap_seconds": seconds });
        let data = context
            .api
            .post_once(&path, &Query::default(), &body, &self.repeat)
            .await?;
        if Repeat::is_repeated(&data) {
            let id = text::plain(&self.webhook);
            let made = format!(
                "the secret of {id} was rotated by an earlier call, and is not shown again"
            );
            return Err(CommandError::PartiallyApplied(format!(
                "{made}: rotate it with another --idempotency-key or without one"
            )));
        }

        ready.deliver(context.output, data, "secret", rotated).map_err(|error| {
            let id = text::plain(&self.webhook);
            CommandError::PartiallyApplied(format!(
                "{error}; the new secret of {id} was never shown: rotate it again within 10 minutes"
            ))
        })?;
        Ok(Exit::Done)
    }
}

impl ResendDeliveries {
    async fn run(self, Context { api, output }: &Context) -> Result<Exit, CommandError> {
        for (index, delivery) in self.deliveries.iter().enumerate() {
            let path = [
                "webhooks",
                &self.webhook,
                "deliveries",
                delivery,
                "redeliver",
            ];
            match api.post(&path, &Query::default(), &json!({})).await {
                Ok(data) => {
                    output.changed(&data, &format!("{} is sent again", text::plain(delivery)))?
                }
                Err(error) if index == 0 => return Err(error),
                Err(error) => {
                    let delivery = text::plain(delivery);
                    return Err(CommandError::PartiallyApplied(format!(
                        "{delivery} and later ones are not sent again: {error}"
                    )));
                }
            };
        }

        Ok(Exit::Done)
    }
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Context { api, output } = context;
        match self {
            Self::List => {
                let none = Query::default();
                context
                    .list((&["webhooks"], "webhooks"), &none, HEADINGS, line)
                    .await
            }
            Self::Create(create) => create.run(context).await,
            Self::Rotate(rotate) => rotate.run(context).await,
            Self::Deliveries(ListDeliveries { webhook, state }) => {
                let query = Query::default().with("state", state.as_deref());
                let path = ["webhooks", &webhook, "deliveries"];
                context
                    .list(
                        (&path, "deliveries"),
                        &query,
                        DELIVERY_HEADINGS,
                        delivery_line,
                    )
                    .await
            }
            Self::Resend(resend) => resend.run(context).await,
            Self::Delete(DeleteWebhook { webhook, confirm }) => {
                let id = text::plain(&webhook);
                let what = format!("{id} and its pending deliveries are deleted");
                confirm.ask(&what, false)?;
                let path = ["webhooks", &webhook];
                let data = api.delete(&path, &Query::default()).await?;
                output.changed(&data, &format!("{id} deleted"))
            }
        }
    }
}

const HEADINGS: [&str; 5] = ["ID", "URL", "EVENTS", "ACTIVE", "CREATED"];

fn line(webhook: &Value) -> [String; 5] {
    [
        text::inline(&webhook["webhook_id"]),
        text::inline(&webhook["url"]),
        text::inline(&webhook["events"]),
        text::inline(&webhook["active"]),
        text::date(&webhook["created_at"]),
    ]
}

const DELIVERY_HEADINGS: [&str; 7] = [
    "ID", "EVENT", "STATE", "CREATED", "ATTEMPTS", "STATUS", "ERROR",
];

fn delivery_line(delivery: &Value) -> [String; 7] {
    [
        text::inline(&delivery["delivery_id"]),
        text::inline(&delivery["event"]),
        text::inline(&delivery["state"]),
        text::date(&delivery["created_at"]),
        text::inline(&delivery["attempts"]),
        text::inline(&delivery["last_status"]),
        text::inline(&delivery["last_error"]),
    ]
}

fn rotated(webhook: &Value) -> String {
    let old = match &webhook["old_secret_ends_at"] {
        Value::Null => "The old secret has ended.".to_owned(),
        ends_at => format!(
            "Messages are also signed with the old secret until {} UTC.",
            text::date(ends_at)
        ),
    };
    format!("{}\n{old}\n", one(webhook))
}

fn one(webhook: &Value) -> String {
    details([
        ("ID", text::inline(&webhook["webhook_id"])),
        ("URL", text::inline(&webhook["url"])),
        ("EVENTS", text::inline(&webhook["events"])),
        ("EXPIRING DAYS", text::inline(&webhook["expiring_days"])),
        ("ACTIVE", text::inline(&webhook["active"])),
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
    fn webhook_body_has_the_events() {
        let arguments = [
            "webhook",
            "create",
            "https://a/b",
            "--event",
            "key.created,key.revoked",
            "--expiring-days",
            "30,7",
        ];
        let Command::Create(create) = Line::try_parse_from(arguments).unwrap().command else {
            panic!()
        };
        let expected = json!({"url": "https://a/b", "events": ["key.created", "key.revoked"], "expiring_days": [30, 7]});
        assert_eq!(create.body(), expected);
        assert!(Line::try_parse_from(["webhook", "create", "https://a/b"]).is_err());
        let rotate = Line::try_parse_from(["webhook", "rotate", "whk_1"])
            .unwrap()
            .command;
        assert!(matches!(
            rotate,
            Command::Rotate(RotateSecret {
                overlap: Span(86_400),
                ..
            })
        ));
        assert!(Line::try_parse_from(["webhook", "resend", "whk_1"]).is_err());
        let ended = rotated(&json!({"webhook_id": "whk_1", "old_secret_ends_at": null}));
        assert!(ended.ends_with("The old secret has ended.\n"), "{ended}");
        let shown = one(
            &json!({"webhook_id": "whk_1", "url": "https://a/b", "events": ["key.created"], "active": true}),
        );
        assert!(
            shown.starts_with("ID              whk_1\nURL             https://a/b\n"),
            "{shown}"
        );
    }
}
