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

use crate::ConsoleState;
use crate::api::Api;
use crate::error::PageError;
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
    pub(super) user: CurrentUser,
    /// The token that forms of this session carry.
    pub(super) csrf: String,
    /// The current time, in Unix seconds.
    pub(super) now: i64,
    /// The address at which clients reach Envoy, if it is known.
    pub(super) gateway: Option<String>,
}

/// The API's response about the caller.
#[derive(Debug, Deserialize)]
pub(super) struct CurrentUser {
    pub(super) operator: bool,
    pub(super) tier: String,
    pub(super) user_id: String,
    #[serde(default)]
    pub(super) email: String,
    permissions: Vec<String>,
}

impl CurrentUser {
    /// Returns whether a call that requires this permission would be allowed. Pages offer no other
    /// calls. Resources that all accounts share are only for the operator's account.
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
    /// Refuses a page or a form that requires a permission which the user does not have. `action`
    /// completes the sentence “You may not …”.
    pub(super) fn require(&self, permission: &str, action: &'static str) -> Result<(), PageError> {
        if self.user.may(permission) {
            Ok(())
        } else {
            Err(PageError::NotAllowed(action))
        }
    }
}

impl FromRequestParts<ConsoleState> for Session {
    type Rejection = PageError;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &ConsoleState,
    ) -> Result<Self, PageError> {
        let token = token(&parts.headers).ok_or(PageError::LoggedOut)?;
        let csrf = csrf_token(&token);
        let api = console
            .api_router
            .for_request(&parts.headers, &parts.extensions, Some(token));

        let user = api.get(SESSION).await?;
        Ok(Self {
            api,
            user,
            csrf,
            now: console.clock.now(),
            gateway: console.gateway.clone(),
        })
    }
}

/// A form that was sent from one of the session's own pages.
pub(super) struct VerifiedForm {
    pub(super) session: Session,
    pub(super) fields: Fields,
}

impl FromRequest<ConsoleState> for VerifiedForm {
    type Rejection = PageError;

    async fn from_request(request: Request, console: &ConsoleState) -> Result<Self, PageError> {
        let (mut parts, body) = request.into_parts();
        let session = Session::from_request_parts(&mut parts, console).await?;

        let from_script = parts
            .headers
            .get(CSRF_HEADER)
            .map(|value| value.as_bytes().to_vec());
        let fields = Fields::from_request(Request::from_parts(parts, body), console).await?;

        let token = from_script.unwrap_or_else(|| fields.text(CSRF_FIELD).as_bytes().to_vec());
        if !bool::from(token.ct_eq(session.csrf.as_bytes())) {
            return Err(PageError::Forged);
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
fn csrf_token(token: &str) -> String {
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
    let mut cookie = console_cookie(token);
    cookie.set_secure(origin.is_some_and(|origin| origin.starts_with("https://")));
    cookie
}

/// Returns a cookie that removes the session from the browser.
pub(super) fn no_cookie() -> Cookie<'static> {
    let mut cookie = console_cookie(String::new());
    cookie.make_removal();
    cookie
}

fn console_cookie(value: String) -> Cookie<'static> {
    Cookie::build((COOKIE, value))
        .path("/console")
        .http_only(true)
        .same_site(SameSite::Lax)
        .build()
}
