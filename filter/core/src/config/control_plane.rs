//! The control plane's part of the configuration.

use super::ConfigError;
use super::object::{Object, is_visible};

/// The longest name that the SDK can pass on.
const MAX_CLUSTER_LEN: usize = 100;

/// The default prefix of the names of shared cells.
const DEFAULT_INSTANCE: &str = "latchkey";
const MAX_INSTANCE_LEN: usize = 64;

/// The control plane's address and credentials.
#[derive(Clone)]
pub struct ControlPlane {
    /// The name of an Envoy cluster.
    pub cluster: String,
    /// The node token, presented on every stream.
    pub token: TokenSource,
}

/// The source of the node token.
#[derive(Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// The token from the configuration. Never printed.
    Given(String),
    /// The environment variable of this name.
    Environment(String),
}

impl ControlPlane {
    pub(super) fn read(mut object: Object, errors: &mut Vec<ConfigError>) -> Option<Self> {
        let cluster = object.string("cluster", errors);
        if cluster
            .as_ref()
            .is_some_and(|cluster| cluster.len() > MAX_CLUSTER_LEN)
        {
            object.error(
                "cluster",
                format!("must have at most {MAX_CLUSTER_LEN} characters"),
                errors,
            );
        }
        let from_environment = object.fields.contains_key("token_env");
        let token = if from_environment {
            if object.fields.remove("token").is_some() {
                object.error("token_env", "cannot be combined with token", errors);
            }
            let name = object.string("token_env", errors);
            if name.as_ref().is_some_and(|name| name.contains('=')) {
                object.error(
                    "token_env",
                    "must be the name of an environment variable",
                    errors,
                );
            }
            name.map(TokenSource::Environment)
        } else {
            object.string("token", errors).map(TokenSource::Given)
        };

        object.finish(errors);

        Some(Self {
            cluster: cluster?,
            token: token?,
        })
    }
}

/// Returns whether a text can be a node token.
pub fn is_node_token(text: &str) -> bool {
    is_visible(text)
}

/// Reads the prefix of this configuration's cell names.
pub(super) fn instance(object: &mut Object, errors: &mut Vec<ConfigError>) -> String {
    let Some(name) = object.optional_string("instance", errors) else {
        return DEFAULT_INSTANCE.to_owned();
    };
    let is_valid = (1..=MAX_INSTANCE_LEN).contains(&name.len())
        && name
            .chars()
            .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'));
    if !is_valid {
        object.error(
            "instance",
            format!("must be 1 to {MAX_INSTANCE_LEN} lower-case letters, digits and hyphens"),
            errors,
        );
    }
    name
}
