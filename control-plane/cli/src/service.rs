//! `latchkey service`: the services that scopes and route rules refer to.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::arguments::Body;
use super::error::CommandError;
use super::exit::Exit;
use super::pages::Extent;
use super::query::Query;
use super::{Context, Run, text};

/// Subcommands of `latchkey service`.
#[derive(Subcommand)]
pub enum Command {
    /// List services
    List(ListServices),
    /// Register a service
    Create(ServiceFields),
    /// Change a service's description
    Edit(ServiceFields),
    /// Delete a service that no key's scope lists
    Delete(DeleteService),
}

/// Arguments of `service list`.
#[derive(Clone, Args)]
pub struct ListServices {
    /// Only services whose names or descriptions contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

/// The attributes of a service.
#[derive(Clone, Args)]
pub struct ServiceFields {
    /// Name of the service, used by scopes and route rules
    name: String,
    /// Description of the service; an empty text removes it
    #[arg(long)]
    description: Option<String>,
}

/// Arguments of `service delete`.
#[derive(Clone, Args)]
pub struct DeleteService {
    /// The service's name
    name: String,
}

impl ServiceFields {
    fn body(&self) -> Body {
        Body::default().with(
            "description",
            self.description
                .as_deref()
                .map(|text| (!text.is_empty()).then_some(text)),
        )
    }
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let (Context { api, output }, none) = (context, Query::default());
        match self {
            Self::List(ListServices { search, extent }) => {
                let query = none.with("search", search);
                extent
                    .show(context, (&["services"], "services"), query, HEADINGS, line)
                    .await
            }
            Self::Create(named) => {
                let body = named.body().with("name", Some(json!(named.name))).json();
                let data = api.post(&["services"], &none, &body).await?;
                output.changed(
                    &data,
                    &format!("service {} created", text::plain(&named.name)),
                )
            }
            Self::Edit(named) => {
                let data = api
                    .patch(&["services", &named.name], &none, &named.body().edit()?)
                    .await?;
                output.changed(
                    &data,
                    &format!("service {} edited", text::plain(&named.name)),
                )
            }
            Self::Delete(DeleteService { name }) => {
                let data = api.delete(&["services", &name], &none).await?;
                output.changed(&data, &format!("service {} deleted", text::plain(&name)))
            }
        }
    }
}

const HEADINGS: [&str; 3] = ["NAME", "DESCRIPTION", "CREATED"];

fn line(service: &Value) -> [String; 3] {
    [
        text::inline(&service["name"]),
        text::inline(&service["description"]),
        text::date(&service["created_at"]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_rows_with_optional_descriptions() {
        assert_eq!(
            line(&json!({"name": "dns", "description": "DNS", "created_at": null})),
            ["dns", "DNS", "-"]
        );
        let named = |description: Option<&str>| ServiceFields {
            name: "dns".into(),
            description: description.map(str::to_owned),
        };
        assert_eq!(named(Some("")).body().json(), json!({"description": null}));
        assert_eq!(named(Some("x")).body().json(), json!({"description": "x"}));
        assert!(named(None).body().is_empty());
    }
}
