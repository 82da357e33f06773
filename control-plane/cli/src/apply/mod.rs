//! `latchkey apply`: makes everything as a file says. What is so already is left alone, so that the
//! same file applied again changes nothing. The plan is made, and checked as a whole, before the
//! first change.

mod document;
mod plan;
mod run;
mod state;

use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};

use super::confirm::Confirmation;
use super::error::CommandError;
use super::exit::Exit;
use super::secret::Secret;
use super::{Context, Run, document as file, moment, output};
use document::Document;
use plan::{Facts, Plan};
use state::State;

const FORM: &str = "Sections of the file, each of which can be left out, as can all fields but the first; what is left \
out is left alone:
  tiers: [{name, limits: {minute, hour, day, month}}]
  services: [{name, description}]
  subaccounts: [{name}]
  users: [{email, roles, permissions, subaccounts: all or names, disabled, password_env}]
  routes: {rules, unmatched, path_case}
  keys: [{name, description, environment, tier, scope, roles, permissions, subaccounts, allowed_ips, denied_ips,
          expires_at, limits, active, save}]
A key that is made needs `save`, a file for its secret, which is found from the file's own directory. A user who is made \
needs `password_env`, the environment variable with their password.

The plan has a line for each change: + make, ~ edit, - revoke or delete, ! cannot be done, = is not in the file. Below a \
line are the route rules that differ, and after ! what lets more through than before, such as a request that becomes public. \
On a terminal that is asked about, as is what is revoked or deleted; elsewhere the latter takes --yes (or exit code 2).";

/// By which file.
#[derive(Clone, Args)]
#[command(after_long_help = FORM)]
pub struct Apply {
    /// A file of YAML or JSON, or - for stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Print the plan and change nothing; ends with 5 if there is something to do
    #[arg(long)]
    dry_run: bool,
    /// Revoke or delete what is not in a section of the file
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Run for Apply {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let document: Document = file::read(&self.file)?;
        let document = document
            .check()
            .map_err(|errors| CommandError::file(&self.file, errors.join("; ")))?;
        let state = State::read(&context.api, &document, self.prune).await?;
        let directory = &Path::new(".").join(self.file.parent().unwrap_or(Path::new("")));
        let facts = Facts {
            prune: self.prune,
            now: moment::now(),
            secret: &Secret::of_env,
            is_there: &|path| directory.join(path).symlink_metadata().is_ok(),
            is_directory: &|path| directory.join(path).is_dir(),
        };
        let plan = Plan::new(&document, &state, &facts).map_err(|lines| refused(&lines))?;
        let told = told(&plan, self.dry_run);
        if self.dry_run {
            context.output.show(&told, || plan.to_string())?;
            return Ok(if plan.actions.is_empty() {
                Exit::Done
            } else {
                Exit::Changes
            });
        }
        context.output.show(&told, || plan.to_string())?;
        if plan.actions.is_empty() {
            return Ok(Exit::Done);
        }
        let removals = plan.removals();
        let wider = plan
            .is_wider()
            .then_some("lets more through, see the lines with !");
        let parts: Vec<_> = [
            Some(removals.as_str()).filter(|text| !text.is_empty()),
            wider,
        ]
        .into_iter()
        .flatten()
        .collect();
        if !parts.is_empty() {
            self.confirmation.ask(
                &format!("this {}", parts.join(", and ")),
                !removals.is_empty(),
            )?;
        }
        let exit = run::run(context, &plan, &state, directory).await?;
        if exit == Exit::NotEverywhere {
            output::note("latchkey: not every node has all of it yet");
        }
        Ok(exit)
    }
}

fn refused(lines: &[plan::Line]) -> CommandError {
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    CommandError::usage(format!(
        "nothing was changed, as this cannot be done:\n{}",
        lines.join("\n")
    ))
}

/// The plan for scripts.
fn told(plan: &Plan, dry_run: bool) -> serde_json::Value {
    json!({
        "dry_run": dry_run,
        "changes": plan.actions.iter().map(|action| action.line.json()).collect::<Vec<_>>(),
        "left": plan.left.iter().map(plan::Left::json).collect::<Vec<_>>(),
    })
}
