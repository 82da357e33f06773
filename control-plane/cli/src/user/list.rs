//! `latchkey user list`.

use clap::Args;

use super::view;
use crate::Context;
use crate::error::CommandError;
use crate::exit::Exit;
use crate::pages::Extent;
use crate::query::Query;

/// Arguments of `user list`.
#[derive(Clone, Args)]
pub struct ListUsers {
    /// Only users whose email addresses contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    #[command(flatten)]
    extent: Extent,
}

impl ListUsers {
    pub(super) async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let query = Query::default().with("search", self.search);
        self.extent
            .show(
                context,
                (&["users"], "users"),
                query,
                view::HEADINGS,
                view::line,
            )
            .await
    }
}
