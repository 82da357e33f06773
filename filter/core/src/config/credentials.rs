//! The setting `credentials`.

use super::ConfigError;
use super::object::Object;
use latchkey_policy::token::is_token;

/// The places of a request in which a key may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSources {
    /// Headers, in lower case.
    pub headers: Vec<String>,
    /// `Authorization: Bearer`.
    pub bearer: bool,
    /// A query parameter.
    pub query: Option<String>,
    /// A cookie.
    pub cookie: Option<String>,
    /// True if the upstream gets the key.
    pub forward: bool,
}

impl CredentialSources {
    /// Reads the places from the configuration; the default ones if they are absent.
    pub(super) fn read(root: &mut Object, errors: &mut Vec<ConfigError>) -> Option<Self> {
        match root.fields.remove("credentials") {
            None => Some(Self::default()),
            Some(value) => Object::new("credentials".to_owned(), value, errors)
                .map(|object| sources(object, errors)),
        }
    }

    /// Returns the headers in which the upstream must not get a key.
    #[inline]
    pub fn stripped_headers(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().map(String::as_str);
        let bearer = self.bearer.then_some("authorization");
        let cookie = self.cookie.as_ref().map(|_| "cookie");
        headers
            .chain(bearer)
            .chain(cookie)
            .filter(|_| !self.forward)
    }
}

impl Default for CredentialSources {
    fn default() -> Self {
        Self {
            headers: vec!["x-api-key".to_owned()],
            bearer: true,
            query: None,
            cookie: None,
            forward: false,
        }
    }
}

/// Reads the object `credentials`.
fn sources(mut object: Object, errors: &mut Vec<ConfigError>) -> CredentialSources {
    let default = CredentialSources::default();
    let headers = object.optional_strings("headers", errors).map(|names| {
        names
            .into_iter()
            .enumerate()
            .map(|(at, name)| object.header_name(&format!("headers[{at}]"), &name, errors))
    });

    let headers = headers.map_or(default.headers, Iterator::collect);

    let mut place = |field: &str| {
        let name = object.optional_string(field, errors)?;
        // A query would read these characters as something else.
        if !is_token(name.as_bytes()) || name.contains(['%', '+', '&', '#']) {
            object.error(
                field,
                "must be a name of letters, digits and !$'*-.^_`|~",
                errors,
            );
        }
        Some(name)
    };

    let (query, cookie) = (place("query"), place("cookie"));
    let bearer = object
        .optional_bool("bearer", errors)
        .unwrap_or(default.bearer);
    let forward = object
        .optional_bool("forward", errors)
        .unwrap_or(default.forward);

    if headers.is_empty() && !bearer && query.is_none() && cookie.is_none() {
        errors.push(ConfigError {
            path: object.path.clone(),
            reason: "must name at least one place for keys".to_owned(),
        });
    }

    object.finish(errors);

    CredentialSources {
        headers,
        bearer,
        query,
        cookie,
        forward,
    }
}
