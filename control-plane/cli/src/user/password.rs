//! `latchkey user password`.

use clap::Args;
use serde_json::json;

use super::UserRef;
use crate::Context;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::password::{self, NewPassword};
use crate::query::Query;
use crate::secret::Secret;

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
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = Query::default();
        let data = match self.user {
            None => {
                let current = Secret::from_env("LATCHKEY_PASSWORD");
                let current = current.map_or_else(|| password::ask("Current password: "), Ok)?;
                let body = json!({ "current_password": current, "new_password": self.new.read()? });
                context
                    .api
                    .put(&["users", "me", "password"], &query, &body)
                    .await?
            }
            Some(user) => {
                let id = UserRef { reference: user }.id(context).await?;
                let body = json!({ "password": self.new.read()? });
                context.api.patch(&["users", &id], &query, &body).await?
            }
        };
        context.output.changed(&data, "password set")
    }
}
