//! `latchkey user edit`.

use clap::Args;
use serde_json::json;

use super::{UserAccess, UserRef, view};
use crate::arguments::Wait;
use crate::confirm::Confirmation;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::{Context, output, text};

/// Arguments of `user edit`. Omitted attributes stay unchanged; a given list replaces the current
/// one.
#[derive(Clone, Args)]
pub struct EditUser {
    #[command(flatten)]
    user: UserRef,
    /// New email address
    #[arg(long, value_name = "EMAIL")]
    new_email: Option<String>,
    #[command(flatten)]
    access: UserAccess,
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

impl EditUser {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        if self.disable {
            let user = text::plain(&self.user.reference);
            self.confirm.ask(
                &format!("{user} and all requests with their keys are refused from now on"),
                false,
            )?;
        }

        let id = self.user.id(context).await?;
        let none = |cleared: bool| cleared.then(|| json!([]));
        let body = self.access.body(context).await?;
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
        let edited = || {
            format!(
                "{}\nedited: {}\n",
                view::one(&data),
                output::enforcement(&data).unwrap_or_default()
            )
        };
        context.output.show(&data, edited)?;

        Ok(context.output.exit(&data))
    }
}
