//! `latchkey user create`.

use clap::Args;
use serde_json::json;

use super::{UserAccess, view};
use crate::Context;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::password::NewPassword;
use crate::query::Query;

/// Arguments of `user create`.
#[derive(Clone, Args)]
pub struct CreateUser {
    /// The user's email address
    #[arg(value_name = "EMAIL")]
    address: String,
    #[command(flatten)]
    access: UserAccess,
    #[command(flatten)]
    password: NewPassword,
}

impl CreateUser {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let body = self.access.body(context).await?;
        let password = self.password.read()?;
        let body = body
            .with("email", Some(self.address))
            .with("password", Some(json!(password)));
        let data = context
            .api
            .post(&["users"], &Query::default(), &body.json())
            .await?;
        context.output.show(&data, || view::one(&data))?;

        Ok(Exit::Done)
    }
}
