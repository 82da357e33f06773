//! The session in the browser's cookie, and the permissions of its user. Changes are accepted only
//! from the console's own pages.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderName, header, request::Parts};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use latchkey_model::secret::SessionToken;
use latchkey_policy::permission::{Pattern, Permission};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Page;
use crate::api::Api;
use crate::failure::Failure;
use crate::form::Fields;

const COOKIE: &str = "latchkey_session";

/// The field of a form, and the header of a script's request, with the token which shows that it
/// comes from a page of the console.
pub(super) const CSRF_FIELD: &str = "csrf";
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");

/// The path of API calls about the session.
pub(super) const SESSION: &str = "/v1/sessions/current";

/// A session, and the API on behalf of it.
pub(super) struct Session {
    pub(super) api: Api,
    pub(super) me: Me,
    /// The token that forms of this session carry.
    pub(super) csrf: String,
    /// The current time, in Unix seconds.
    pub(super) now: i64,
    /// The address at which clients reach Envoy, if it is known.
    pub(super) gateway: Option<String>,
}

/// The API's response about the caller.
#[derive(Debug, Deserialize)]
pub(super) struct Me {
    pub(super) operator: bool,
    pub(super) tier: String,
    pub(super) user_id: String,
    #[serde(default)]
    pub(super) email: String,
    permissions: Vec<String>,
}

impl Me {
    /// Returns whether a call that requires this permission would be allowed; pages offer no other.
    /// Resources that all accounts share are only for the operator's account.
    pub(super) fn may(&self, permission: &str) -> bool {
        if permission.starts_with("gateway:") && !self.operator {
            return false;
        }
        let Ok(permission) = Permission::parse(permission) else {
            return false;
        };
        let mut patterns = self
            .permissions
            .iter()
            .filter_map(|pattern| Pattern::parse(pattern).ok());
        patterns.any(|pattern| pattern.matches(&permission))
    }
}

impl Session {
    /// Refuses a page or a form that requires a permission which the user does not have.
    pub(super) fn require(&self, permission: &str, what: &'static str) -> Result<(), Failure> {
        if self.me.may(permission) {
            Ok(())
        } else {
            Err(Failure::NotAllowed(what))
        }
    }
}

impl FromRequestParts<Page> for Session {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, console: &Page) -> Result<Self, Failure> {
        let token = token(&parts.headers).ok_or(Failure::LoggedOut)?;
        let csrf = csrf(&token);
        let api = console
            .calls
            .of(&parts.headers, &parts.extensions, Some(token));
        let me = api.get(SESSION).await?;
        Ok(Self {
            api,
            me,
            csrf,
            now: console.clock.now(),
            gateway: console.gateway.clone(),
        })
    }
}

/// A form that was sent from one of the session's own pages.
pub(super) struct Sent {
    pub(super) session: Session,
    pub(super) fields: Fields,
}

impl FromRequest<Page> for Sent {
    type Rejection = Failure;

    async fn from_request(request: Request, console: &Page) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let session = Session::from_request_parts(&mut parts, console).await?;
        let by_script = parts
            .headers
            .get(CSRF_HEADER)
            .map(|value| value.as_bytes().to_vec());
        let fields = Fields::from_request(Request::from_parts(parts, body), console).await?;
        let shown = by_script.unwrap_or_else(|| fields.text(CSRF_FIELD).as_bytes().to_vec());
        if !bool::from(shown.ct_eq(session.csrf.as_bytes())) {
            return Err(Failure::Forged);
        }
        Ok(Self { session, fields })
    }
}

/// Returns the session's token, if the cookie's value has the form of a token.
fn token(headers: &HeaderMap) -> Option<String> {
    let jar = CookieJar::from_headers(headers);
    let value = jar.get(COOKIE)?.value();
    SessionToken::parse(value).map(|token| token.expose().to_owned())
}

/// Returns the token for forms. It can only be derived from the session's token, which cannot be
/// derived from it.
fn csrf(token: &str) -> String {
    hex::encode(
        Sha256::new()
            .chain_update("latchkey console csrf\0")
            .chain_update(token)
            .finalize(),
    )
}

/// Returns the session's cookie. It is sent only to the console and hidden from scripts. Other
/// sites can only link to a page with it, which changes nothing, so links in mails and chats work.
/// It is sent only by HTTPS if the browser reports that the log-in came by HTTPS.
pub(super) fn cookie(headers: &HeaderMap, token: String) -> Cookie<'static> {
    let origin = headers
        .get(header::ORIGIN)
        .and_then(|origin| origin.to_str().ok());
    let mut cookie = of_console(token);
    cookie.set_secure(origin.is_some_and(|origin| origin.starts_with("https://")));
    cookie
}

/// Returns a cookie that removes the session from the browser.
pub(super) fn no_cookie() -> Cookie<'static> {
    let mut cookie = of_console(String::new());
    cookie.make_removal();
    cookie
}

fn of_console(value: String) -> Cookie<'static> {
    Cookie::build((COOKIE, value))
        .path("/console")
        .http_only(true)
        .same_site(SameSite::Lax)
        .build()
}
