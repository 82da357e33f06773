//! The plugin's configuration: JSON, read whole, every error with the path of its field.
//!
//! | field | type | default | meaning |
//! |---|---|---|---|
//! | `control_plane.cluster` | string of at most 100 characters | required | the Envoy cluster of the control plane's stream |
//! | `control_plane.token` | string | required, or `token_env` | the node token that the control plane expects |
//! | `control_plane.token_env` | string | none | the environment variable that holds the node token |
//! | `instance` | 1 to 64 of `a-z`, `0-9`, `-` | `"latchkey"` | filters of one Envoy with the same name share snapshot and counters |
//! | `key_prefix` | string | `"lk"` | what keys begin with |
//! | `credentials.headers` | list of header names | `["x-api-key"]` | headers that hold a key and nothing else |
//! | `credentials.bearer` | boolean | `true` | whether `Authorization: Bearer` holds one |
//! | `credentials.query` | string | none | the query parameter that does |
//! | `credentials.cookie` | string | none | the cookie that does |
//! | `credentials.forward` | boolean | `false` | whether the upstream gets the key |
//! | `identity_headers` | object | none | more headers for the upstream: `{"x-consumer-id": "key"}` |
//! | `rate_limit_headers` | list of `"x-ratelimit"`, `"ietf"` | `["x-ratelimit"]` | the headers that report a key's limits to its client |
//! | `client_address.xff_trusted_hops` | 0 to 100 | none | Envoy's `xff_num_trusted_hops`: for keys with IP lists, an entry of X-Forwarded-For that Envoy did not use makes the address unknown |
//! | `end_streams` | `"off"`, `"upgrades"`, `"all"` | `"upgrades"` | which open streams are reset when their secret ends |
//! | `health_path` | path | none | a path that is answered by the filter: 200 while requests can be decided, else 503 |
//! | `max_staleness_seconds` | 1 to 31,536,000 | none | refuse with `not_ready` when the control plane was not heard from for longer |
//! | `shadow` | list of codes | none | these refusals are counted and logged, and the request passes |
//!
//! The outcome depends on nothing but the bytes, so that all of Envoy's threads come to the same
//! one.

mod control_plane;
mod credentials;
mod end_streams;
mod identity_headers;
mod object;

use crate::host::Nanos;
use crate::limit_headers::Styles;
use latchkey_policy::identity::{self, Field};
use latchkey_policy::key::KeyFormat;
use latchkey_policy::names::HeaderNames;
use latchkey_policy::verdict::Code;
use object::Object;
use serde_json::Value;
use std::fmt;

pub use control_plane::{ControlPlane, TokenSource, is_node_token};
pub use credentials::CredentialSources;
pub use end_streams::EndStreams;

/// Headers that never hold only a key, and that the filter must not set.
const OTHER_USE: [&str; 10] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    identity::HEADER,
];

/// The highest number of trusted proxies: more than any request passes.
const MAX_TRUSTED_HOPS: u64 = 100;

const MAX_STALENESS_SECONDS: u64 = 365 * 24 * 3600;

/// The plugin's configuration, as set by the operator.
#[derive(Clone)]
pub struct Config {
    /// The control plane that the stream connects to.
    pub control_plane: ControlPlane,
    /// The prefix of the names of shared cells.
    pub instance: String,
    /// The format of keys.
    pub keys: KeyFormat,
    /// The places in a request where keys are looked for.
    pub credentials: CredentialSources,
    /// Headers for the upstream, in addition to the identity header.
    pub identity_headers: Vec<(String, Field)>,
    /// The names of these headers and of the identity header, which only the filter may set.
    pub identity_names: HeaderNames,
    /// The headers that report a key's limits to clients.
    pub rate_limit_headers: Styles,
    /// The longest time for which the snapshot is used without contact to the control plane.
    pub max_staleness: Option<Nanos>,
    /// The number of proxies that Envoy trusts, if X-Forwarded-For has to agree with it.
    pub trusted_hops: Option<usize>,
    /// The open streams that are reset when their secret ends.
    pub end_streams: EndStreams,
    /// A path whose requests the filter answers.
    pub health_path: Option<String>,
    /// Codes whose refusals are counted and logged while the request passes.
    pub shadow: Vec<Code>,
    /// The faults to inject.
    #[cfg(feature = "fault")]
    pub fault: crate::fault::Fault,
}

/// An error in the configuration, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The field's path, such as `control_plane.cluster`; empty for the whole configuration.
    pub path: String,
    /// The reason why the field is invalid.
    pub reason: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "configuration"
        } else {
            &self.path
        };
        write!(f, "{path}: {}", self.reason)
    }
}

impl Config {
    /// Parses the configuration, or returns all of its errors.
    pub fn parse(bytes: &[u8]) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let config = Self::read(bytes, &mut errors);
        config.filter(|_| errors.is_empty()).ok_or(errors)
    }

    /// Reads as much of the configuration as is valid, and adds its errors.
    fn read(bytes: &[u8], errors: &mut Vec<ConfigError>) -> Option<Self> {
        let mut root = Object::new(String::new(), parsed(bytes, errors)?, errors)?;

        let control_plane = root.object("control_plane", errors);
        let control_plane = control_plane.and_then(|object| ControlPlane::read(object, errors));
        let instance = control_plane::instance(&mut root, errors);
        let keys = key_format(&mut root, errors);
        let credentials = CredentialSources::read(&mut root, errors);
        let identity_headers = identity_headers::read(&mut root, errors);
        let rate_limit_headers = rate_limit_headers(&mut root, errors);
        let max_staleness =
            root.optional_number("max_staleness_seconds", 1..=MAX_STALENESS_SECONDS, errors);
        let trusted_hops = trusted_hops(&mut root, errors);
        let end_streams = EndStreams::read(&mut root, errors);
        let health_path = health_path(&mut root, errors);
        let shadow = shadow(&mut root, errors);
        #[cfg(feature = "fault")]
        let fault = root
            .fields
            .remove("fault")
            .map(crate::fault::Fault::read)
            .unwrap_or_default();
        root.finish(errors);

        Some(Self {
            control_plane: control_plane?,
            instance,
            keys: keys?,
            credentials: credentials?,
            identity_names: identity_headers::names(identity_headers.as_deref()?),
            identity_headers: identity_headers?,
            rate_limit_headers: rate_limit_headers.unwrap_or_default(),
            max_staleness: max_staleness.map(|seconds| seconds.saturating_mul(1_000_000_000)),
            trusted_hops,
            end_streams,
            health_path,
            shadow,
            #[cfg(feature = "fault")]
            fault,
        })
    }
}

/// Parses the JSON of the configuration.
fn parsed(bytes: &[u8], errors: &mut Vec<ConfigError>) -> Option<Value> {
    let mut error = |reason| {
        errors.push(ConfigError {
            path: String::new(),
            reason,
        });
    };

    if bytes.iter().all(u8::is_ascii_whitespace) {
        error("is empty; it must be a JSON object".to_owned());
        return None;
    }

    match serde_json::from_slice(bytes) {
        Ok(value) => Some(value),
        Err(reason) => {
            error(format!("is not JSON: {reason}"));
            None
        }
    }
}

/// Reads the format of keys, which the prefix selects.
fn key_format(root: &mut Object, errors: &mut Vec<ConfigError>) -> Option<KeyFormat> {
    let Some(prefix) = root.optional_string("key_prefix", errors) else {
        return Some(KeyFormat::default());
    };
    match KeyFormat::new(&prefix) {
        Ok(format) => Some(format),
        Err(error) => {
            root.error("key_prefix", error.to_string(), errors);
            None
        }
    }
}

/// Reads the styles of headers that report limits.
fn rate_limit_headers(root: &mut Object, errors: &mut Vec<ConfigError>) -> Option<Styles> {
    let names = root.optional_strings("rate_limit_headers", errors)?;
    for (at, name) in names.iter().enumerate() {
        if !Styles::NAMES.contains(&name.as_str()) {
            errors.push(ConfigError {
                path: format!("rate_limit_headers[{at}]"),
                reason: format!("must be one of {}", Styles::NAMES.join(", ")),
            });
        }
    }
    Some(Styles::named(&names))
}

/// Reads the codes whose refusals are only counted and logged.
fn shadow(root: &mut Object, errors: &mut Vec<ConfigError>) -> Vec<Code> {
    let names = root.optional_strings("shadow", errors).unwrap_or_default();
    let shadowable = || Code::ALL.into_iter().filter(|code| code.can_be_shadowed());

    let codes = names.iter().enumerate().filter_map(|(at, name)| {
        let found = shadowable().find(|code| code.as_str() == name);
        if found.is_none() {
            let known: Vec<_> = shadowable().map(Code::as_str).collect();
            errors.push(ConfigError {
                path: format!("shadow[{at}]"),
                reason: format!("must be one of {}", known.join(", ")),
            });
        }
        found
    });
    codes.collect()
}

/// Reads the number of proxies that Envoy trusts.
fn trusted_hops(root: &mut Object, errors: &mut Vec<ConfigError>) -> Option<usize> {
    let value = root.fields.remove("client_address")?;
    let mut object = Object::new("client_address".to_owned(), value, errors)?;
    if !object.fields.contains_key("xff_trusted_hops") {
        object.error("xff_trusted_hops", "is required", errors);
    }
    let hops = object.optional_number("xff_trusted_hops", 0..=MAX_TRUSTED_HOPS, errors);
    object.finish(errors);
    hops.and_then(|hops| usize::try_from(hops).ok())
}

/// Reads the path that the filter answers.
fn health_path(root: &mut Object, errors: &mut Vec<ConfigError>) -> Option<String> {
    let path = root.optional_string("health_path", errors)?;
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
    if !path.starts_with('/') || !path.bytes().all(plain) {
        root.error(
            "health_path",
            "must be a path that begins with /, in printable ASCII without ? and #",
            errors,
        );
    }
    Some(path)
}

#[cfg(test)]
mod tests;
