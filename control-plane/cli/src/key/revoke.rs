//! `latchkey key revoke`.

use clap::Args;

use crate::Context;
use crate::arguments::Wait;
use crate::confirm::Confirmation;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::output::Changes;
use crate::{output, text};

/// Arguments of `key revoke`.
#[derive(Clone, Args)]
pub struct RevokeKeys {
    /// Ids of the keys
    #[arg(value_name = "ID", required = true)]
    keys: Vec<String>,
    #[command(flatten)]
    confirm: Confirmation,
    #[command(flatten)]
    wait: Wait,
}

impl RevokeKeys {
    /// Revokes each key separately: an error, or output that cannot be printed, does not prevent
    /// the others from being revoked. The exit code is that of the first failure.
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let what = match self.keys.as_slice() {
            [key] => format!("{} is revoked permanently", text::plain(key)),
            keys => format!("{} keys are revoked permanently", keys.len()),
        };
        self.confirm.ask(&what, false)?;
        let (mut exit, mut failed, mut changes) = (Exit::Done, None, Changes::default());

        for key in &self.keys {
            match context.api.delete(&["keys", key], &self.wait.query()).await {
                Ok(data) => {
                    let what = format!("{} revoked", text::plain(key));
                    exit = exit.max(changes.changed(context.output, &data, &what));
                }
                Err(error) if self.keys.len() == 1 => return Err(error),
                Err(error) => {
                    output::note(&format!(
                        "latchkey: {} is not revoked: {error}",
                        text::plain(key)
                    ));
                    failed.get_or_insert(error.exit());
                }
            }
        }

        changes.end()?;
        Ok(failed.unwrap_or(exit))
    }
}
