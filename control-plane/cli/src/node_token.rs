//! `latchkey node-token`: the credentials of Envoys.

use clap::{Args, Subcommand};
use latchkey_model::secret::NodeToken;
use latchkey_model::secret_files;
use serde_json::Value;
use std::path::PathBuf;

use super::arguments::{Body, Repeat};
use super::confirm::Confirmation;
use super::destination::Destination;
use super::error::CommandError;
use super::exit::Exit;
use super::query::Query;
use super::secret::Secret;
use super::table::details;
use super::{Context, Run, text};

const VARIABLE: &str = "LATCHKEY_NEW_NODE_TOKEN";

/// Commands for node tokens.
#[derive(Subcommand)]
pub enum Command {
    /// List node tokens, including revoked ones
    List,
    /// Create a node token. By default a token is generated and shown or saved once
    #[command(
        after_help = "An existing token, such as one from a Kubernetes Secret, can be given with \
        --token-file, with --sha256 or in the environment variable LATCHKEY_NEW_NODE_TOKEN. Only \
        its SHA-256 is sent."
    )]
    Create(CreateNodeToken),
    /// Revoke a node token permanently and close the streams that were opened with it
    Revoke(RevokeNodeToken),
}

/// The token to create.
#[derive(Clone, Args)]
pub struct CreateNodeToken {
    /// The token's name: a-z, 0-9, _ and -
    name: String,
    /// Pattern of Envoy's node.id that the token is valid for, such as 'edge-*'; * matches any
    /// characters
    #[arg(long, value_name = "PATTERN")]
    node: String,
    /// Read the token from this file, ignoring a line break at its end. Other users must not have
    /// access to the file
    #[arg(long, value_name = "FILE", conflicts_with = "sha256")]
    token_file: Option<PathBuf>,
    /// SHA-256 of the token, in hexadecimal
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    #[arg(skip = Secret::from_env(VARIABLE))]
    given: Option<Secret>,
    #[command(flatten)]
    destination: Destination,
    #[command(flatten)]
    repeat: Repeat,
}

/// The token to revoke.
#[derive(Clone, Args)]
pub struct RevokeNodeToken {
    /// The token's name
    name: String,
    #[command(flatten)]
    confirm: Confirmation,
}

impl CreateNodeToken {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let hash = self.hash()?;
        let body = Body::default()
            .with("name", Some(self.name.as_str()))
            .with("node", Some(self.node.as_str()))
            .with("sha256", hash.as_deref());
        let body = body.json();
        if hash.is_some() {
            let data = context
                .api
                .post_once(&["node-tokens"], &Query::default(), &body, &self.repeat)
                .await?;
            context.output.show(&data, || one(&data))?;
            return Ok(Exit::Done);
        }

        let ready = self.destination.ready()?;
        let data = context
            .api
            .post_once(&["node-tokens"], &Query::default(), &body, &self.repeat)
            .await?;
        if Repeat::is_repeated(&data) {
            let made = format!(
                "{} was created by an earlier call, and is not shown again",
                text::plain(&self.name)
            );
            return Err(CommandError::PartiallyApplied(format!(
                "{made}: revoke it and create another"
            )));
        }

        ready
            .deliver(context.output, data, "node_token", one)
            .map_err(|error| {
                let name = text::plain(&self.name);
                CommandError::PartiallyApplied(format!(
                    "{error}; the node token {name} was never shown: revoke it and create another"
                ))
            })?;
        Ok(Exit::Done)
    }

    /// Returns the SHA-256 of the given token, if there is one.
    fn hash(&self) -> Result<Option<String>, CommandError> {
        if let Some(hash) = &self.sha256 {
            return Ok(Some(hash.clone()));
        }

        let token = match (&self.token_file, &self.given) {
            (Some(file), _) => {
                secret_files::read(file).map_err(|reason| CommandError::file(file, reason))?
            }
            (None, Some(given)) => given.expose().to_owned(),
            (None, None) => return Ok(None),
        };
        let token = NodeToken::new(token);
        if !token.is_presentable() {
            let reason = format!(
                "the token must have at least {} characters of printable ASCII",
                NodeToken::MIN_LEN
            );
            return Err(CommandError::usage(reason));
        }

        Ok(Some(hex::encode(token.hash().as_bytes())))
    }
}

impl Run for Command {
    async fn run(self, context: &Context) -> Result<Exit, CommandError> {
        let Context { api, output } = context;
        match self {
            Self::List => {
                let none = Query::default();
                context
                    .list((&["node-tokens"], "node_tokens"), &none, HEADINGS, line)
                    .await
            }
            Self::Create(create) => create.run(context).await,
            Self::Revoke(RevokeNodeToken { name, confirm }) => {
                let what = "is revoked permanently: Envoys that use it are no longer served";
                confirm.ask(&format!("{} {what}", text::plain(&name)), false)?;
                let data = api
                    .delete(&["node-tokens", &name], &Query::default())
                    .await?;
                output.changed(&data, &format!("{} revoked", text::plain(&name)))
            }
        }
    }
}

const HEADINGS: [&str; 5] = ["NAME", "NODE", "STATE", "CREATED", "LAST USED"];

fn line(token: &Value) -> [String; 5] {
    let state = if token["revoked_at"].is_null() {
        "valid"
    } else {
        "revoked"
    };
    [
        text::inline(&token["name"]),
        text::inline(&token["node"]),
        state.to_owned(),
        text::date(&token["created_at"]),
        text::date(&token["last_used_at"]),
    ]
}

fn one(token: &Value) -> String {
    details([
        ("NAME", text::inline(&token["name"])),
        ("NODE", text::inline(&token["node"])),
        ("CREATED", text::date(&token["created_at"])),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::rows;
    use clap::Parser;
    use serde_json::json;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn create(arguments: &[&str]) -> CreateNodeToken {
        let arguments = ["node-token", "create", "edge", "--node", "edge-*"]
            .iter()
            .chain(arguments);
        let Command::Create(create) = Line::try_parse_from(arguments).unwrap().command else {
            panic!()
        };
        create
    }

    #[test]
    fn supplied_token_is_sent_as_hash() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let argument = file.to_str().unwrap();
        fs::write(&file, "correct horse battery\n").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert!(
            create(&["--token-file", argument])
                .hash()
                .unwrap_err()
                .to_string()
                .contains("(mode 0644)")
        );
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let hash = "51a9bea7bf3e49d9ce1b5a5e9f7e4ad8bd0a0d9d";
        let of_file = create(&["--token-file", argument]).hash().unwrap().unwrap();
        let same: NodeToken = "correct horse battery".parse().unwrap();
        assert_eq!(of_file, hex::encode(same.hash().as_bytes()));
        assert_eq!(
            create(&["--sha256", hash]).hash().unwrap().as_deref(),
            Some(hash)
        );
        assert_eq!(create(&[]).hash().unwrap(), None);

        for unusable in [
            "too short",
            "a token with\na line break",
            "ein Schlüssel für Knoten",
        ] {
            fs::write(&file, unusable).unwrap();
            assert!(
                create(&["--token-file", argument]).hash().is_err(),
                "{unusable}"
            );
        }

        assert!(
            Line::try_parse_from(["node-token", "create", "edge"]).is_err(),
            "the pattern is required"
        );
    }

    #[test]
    fn token_list_shows_state() {
        let valid = json!({"name": "edge", "node": "edge-*", "created_at": "2027-01-15T08:00:00Z", "last_used_at": null,
            "revoked_at": null});
        let listed = rows(HEADINGS, &[valid], line);
        assert!(
            listed.contains("edge   edge-*   valid   2027-01-15 08:00   -"),
            "{listed}"
        );
    }
}
