//! `latchkey key regenerate`.

use clap::Args;
use serde_json::{Value, json};

use super::view;
use crate::cli::Context;
use crate::cli::arguments::Wait;
use crate::cli::destination::Destination;
use crate::cli::error::CommandError;
use crate::cli::exit::Exit;
use crate::cli::moment::{self, Span};
use crate::cli::{output, text};

/// Which key, and for how long its old secret is good besides.
#[derive(Clone, Args)]
pub struct Regenerate {
    /// The key's id
    #[arg(value_name = "ID")]
    key: String,
    /// How long the old secret is still good, as in 24h; it ends at once unless told
    #[arg(long, value_name = "SPAN", default_value = "0s")]
    overlap: Span,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    wait: Wait,
}

impl Regenerate {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let ready = self.destination.ready()?;
        let Span(seconds) = self.overlap;
        let body = json!({ "overlap_seconds": seconds });
        let data = context.api.post(&["keys", &self.key, "regenerate"], &self.wait.query(), &body).await?;
        let exit = context.output.exit(&data);
        ready.deliver(context.output, data, "api_key", shown).map_err(|error| {
            let id = text::plain(&self.key);
            CommandError::Halfway(format!("{error}; nobody has seen the new secret of {id}: regenerate it again"))
        })?;
        Ok(exit)
    }
}

fn shown(data: &Value) -> String {
    // The current one, and the one before while that is good.
    let old = match &data["secrets"][1] {
        Value::Null => "The old secret has ended.".to_owned(),
        old => format!("The old secret {} ends {} UTC.", text::of(&old["key_prefix"]), text::date(&old["ends_at"])),
    };
    let enforcement = output::enforcement(data).map_or_else(String::new, |told| format!(" It is {told}."));
    format!("{}\n{old}{enforcement}\n", view::one(data, moment::now()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_the_old_secret_is_told() {
        let secrets = json!([{}, {"key_prefix": "lk_live_Ab3d...x9Qz", "ends_at": "2027-01-16T08:00:00Z"}]);
        let old = json!({ "secrets": secrets });
        assert!(shown(&old).ends_with("\nThe old secret lk_live_Ab3d...x9Qz ends 2027-01-16 08:00 UTC.\n"));
        let ended = json!({
            "secrets": [{}],
            "enforcement": {"revision": 7, "nodes": 1, "acknowledged": 1, "elapsed_ms": 2},
        });
        let told = "\nThe old secret has ended. It is in force on 1 of 1 nodes at revision 7 after 2 ms.\n";
        assert!(shown(&ended).ends_with(told));
    }
}
