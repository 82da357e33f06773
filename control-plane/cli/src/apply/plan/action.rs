//! A change of a plan, with the call of the API that makes it.

use reqwest::Method;
use serde_json::Value;
use std::path::PathBuf;

use super::line::PlanLine;

/// One change.
#[derive(Debug)]
pub(in crate::apply) struct Action {
    pub(in crate::apply) line: PlanLine,
    /// `None` if the previous action's call includes this change.
    pub(in crate::apply) call: Option<Call>,
    /// The field of the body that names subaccounts, and their names: some may have no ids yet.
    pub(in crate::apply) subaccounts: Option<(&'static str, Vec<String>)>,
    /// The edit that follows the creation.
    pub(in crate::apply) then: Option<Value>,
    /// The file for the created secret.
    pub(in crate::apply) save: Option<PathBuf>,
    /// The environment variable of the password that goes into the body.
    pub(in crate::apply) password_env: Option<String>,
}

impl Action {
    pub(super) fn new(line: PlanLine, call: impl Into<Option<Call>>) -> Self {
        Self {
            line,
            call: call.into(),
            subaccounts: None,
            then: None,
            save: None,
            password_env: None,
        }
    }
}

/// A call of the API.
#[derive(Debug, PartialEq)]
pub(in crate::apply) struct Call {
    pub(in crate::apply) method: Method,
    pub(in crate::apply) path: Vec<String>,
    pub(in crate::apply) body: Option<Value>,
}

impl Call {
    pub(super) fn new<const N: usize>(
        method: Method,
        path: [&str; N],
        body: Option<Value>,
    ) -> Self {
        Self {
            method,
            path: path.map(str::to_owned).to_vec(),
            body,
        }
    }
}
