//! `latchkey apply`: changes everything to match a file. Applying the same file again changes
//! nothing. The plan is made and checked as a whole before the first change.

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
use super::{Context, Run, document as file, output, timestamp};
use document::Document;
use plan::{Plan, PlanInputs, PlanLine, Unlisted};
use state::State;

const FORM: &str = "Sections of the file. All sections are optional, as are all fields except the \
first of each; omitted sections and fields are not changed:
  tiers: [{name, limits: {minute, hour, day, month}}]
  services: [{name, description}]
  subaccounts: [{name}]
  users: [{email, roles, permissions, subaccounts: all or names, disabled, password_env}]
  routes: {rules, unmatched, path_case}
  keys: [{name, description, environment, tier, scope, roles, permissions, subaccounts, allowed_ips, denied_ips,
          expires_at, limits, active, save}]
A new key needs `save`, a file for its secret, relative to the directory of the applied file. A \
new user needs `password_env`, the environment variable with their password.

The plan has a line for each change: + create, ~ edit, - revoke or delete, ! impossible, = not in \
the file. Below a line are the route rules that differ and, after !, what becomes less restricted, \
such as a request that becomes public. On a terminal, apply asks for confirmation before it \
loosens a restriction, revokes or deletes. Without a terminal, revoking and deleting require --yes \
(otherwise exit code 2).";

/// Arguments of `apply`.
#[derive(Clone, Args)]
#[command(after_long_help = FORM)]
pub struct Apply {
    /// A file of YAML or JSON, or - for stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Print the plan and change nothing; exit with 5 if there are changes to make
    #[arg(long)]
    dry_run: bool,
    /// Revoke or delete everything that the file's sections do not list
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
        let plan = self.plan(&document, &state, directory)?;

        let json = plan_json(&plan, self.dry_run);
        context.output.show(&json, || plan.to_string())?;
        if plan.actions.is_empty() {
            return Ok(Exit::Done);
        }
        if self.dry_run {
            return Ok(Exit::Changes);
        }

        self.confirm(&plan)?;
        let exit = run::run(context, &plan, &state, directory).await?;
        if exit == Exit::NotEnforced {
            output::note("latchkey: not every node enforces all changes yet");
        }

        Ok(exit)
    }
}

impl Apply {
    fn plan(
        &self,
        document: &Document,
        state: &State,
        directory: &Path,
    ) -> Result<Plan, CommandError> {
        let inputs = PlanInputs {
            prune: self.prune,
            now: timestamp::now(),
            secret: &Secret::from_env,
            exists: &|path| directory.join(path).symlink_metadata().is_ok(),
            is_directory: &|path| directory.join(path).is_dir(),
        };
        Plan::new(document, state, &inputs).map_err(|lines| refused(&lines))
    }

    /// Asks for confirmation if the plan loosens a restriction, revokes or deletes.
    fn confirm(&self, plan: &Plan) -> Result<(), CommandError> {
        let removals = plan.removals();
        let mut effects = Vec::new();
        if !removals.is_empty() {
            effects.push(removals.as_str());
        }
        if plan.is_wider() {
            effects.push("loosens restrictions, see the lines with !");
        }
        if effects.is_empty() {
            return Ok(());
        }

        let what = format!("this {}", effects.join(", and "));
        self.confirmation.ask(&what, !removals.is_empty())
    }
}

/// Reports the changes that cannot be made.
fn refused(lines: &[PlanLine]) -> CommandError {
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    CommandError::usage(format!(
        "nothing was changed, because this is impossible:\n{}",
        lines.join("\n")
    ))
}

/// Returns the plan as JSON, for scripts.
fn plan_json(plan: &Plan, dry_run: bool) -> serde_json::Value {
    json!({
        "dry_run": dry_run,
        "changes": plan.actions.iter().map(|action| action.line.json()).collect::<Vec<_>>(),
        "left": plan.left.iter().map(Unlisted::json).collect::<Vec<_>>(),
    })
}
