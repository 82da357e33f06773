//! The parts of a request that select its route rule.

use super::Request;
use crate::route::{Routes, Target};
use crate::snapshot::Unavailable;
use std::borrow::Cow;

/// The parts of the request that route rules are matched with.
pub(super) struct RouteTarget<'r> {
    host: Cow<'r, [u8]>,
    method: Cow<'r, [u8]>,
    path: Cow<'r, [u8]>,
}

impl<'r> RouteTarget<'r> {
    /// Reads the parts that the rules depend on; `None` if there are no rules.
    pub(super) fn new(
        request: &'r impl Request,
        routes: &Routes,
    ) -> Result<Option<Self>, Unavailable> {
        if routes.is_empty() {
            return Ok(None);
        }

        let header = |wanted: bool, name| {
            if wanted {
                request.header(name)
            } else {
                Ok(None)
            }
        };

        Ok(Some(Self {
            host: header(routes.reads_host(), ":authority")?.unwrap_or_default(),
            method: header(routes.reads_method(), ":method")?.unwrap_or_default(),
            path: header(true, ":path")?.unwrap_or_default(),
        }))
    }

    /// Returns these parts as route rules are searched with them.
    pub(super) fn as_target(&self) -> Target<'_> {
        Target {
            host: &self.host,
            method: &self.method,
            path: &self.path,
        }
    }
}
