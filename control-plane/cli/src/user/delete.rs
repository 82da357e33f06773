//! `latchkey user delete`.

use clap::Args;
use serde_json::Value;

use super::UserRef;
use crate::arguments::Wait;
use crate::confirm::Confirmation;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::{Context, text};

/// Arguments of `user delete`.
#[derive(Clone, Args)]
pub struct DeleteUser {
    #[command(flatten)]
    user: UserRef,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl DeleteUser {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let user = text::plain(&self.user.reference);
        self.confirm.ask(
            &format!("the user {user} is deleted and all of their keys are revoked permanently"),
            false,
        )?;
        let id = self.user.id(context).await?;
        let data = context
            .api
            .delete(&["users", &id], &self.wait.query())
            .await?;

        context.output.changed(&data, &deleted(&data, &id))
    }
}

/// Describes a deleted user. The response has the number of revoked keys, or a list of them.
fn deleted(data: &Value, id: &str) -> String {
    let keys = match &data["revoked_keys"] {
        Value::Array(keys) => keys.len().to_string(),
        number => text::inline(number),
    };
    format!("{} deleted, {keys} keys revoked", text::plain(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn deletions_of_users_list_their_effects() {
        assert_eq!(
            deleted(&json!({"revoked_keys": 3}), "usr_1"),
            "usr_1 deleted, 3 keys revoked"
        );
        assert_eq!(
            deleted(&json!({"revoked_keys": ["key_1"]}), "usr_1"),
            "usr_1 deleted, 1 keys revoked"
        );
    }
}
