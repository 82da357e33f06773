//! Shows the page of a key.

use axum::response::Html;
use maud::{Markup, html};

use super::PATH;
use super::cards::{access, addresses, details, regeneration, revocation, secrets, usage};
use super::target_key::{KeyDetails, TargetKey};
use super::view::Key;
use crate::api::{Refusal, with_query};
use crate::audit;
use crate::error::PageError;
use crate::explain;
use crate::flash::Flash;
use crate::layout;
use crate::session::Session;
use crate::widgets::{badge, general_error};

const SENTENCES: [(&str, &str); 2] = [("saved", "Saved"), ("revoked", "Revoked")];

/// Notices and errors on the page.
#[derive(Default)]
pub(super) struct Notices {
    /// The change that was made before the page was shown.
    pub(super) flash: Flash,
    /// The error of a refused regeneration.
    pub(super) regeneration: Option<Refusal>,
    /// The error of a refused revocation.
    pub(super) revocation: Option<Refusal>,
}

/// Shows the page with the notice of the last change.
pub(super) async fn page(
    session: Session,
    target: TargetKey,
    flash: Flash,
) -> Result<Html<String>, PageError> {
    let notices = Notices {
        flash,
        ..Notices::default()
    };
    render(&session, &target, &notices).await
}

/// Renders the page with these notices and errors.
pub(super) async fn render(
    session: &Session,
    target: &TargetKey,
    notices: &Notices,
) -> Result<Html<String>, PageError> {
    let details = target.load(session).await?;
    let content = content(session, target, &details, notices).await?;
    Ok(layout::page(session, PATH, &details.key.name, &content))
}

/// Renders the content of the page.
pub(super) async fn content(
    session: &Session,
    target: &TargetKey,
    details: &KeyDetails,
    notices: &Notices,
) -> Result<Markup, PageError> {
    let key = &details.key;
    let can_edit = key.revoked_at.is_none() && session.user.may("account:apikeys:update");
    let can_revoke = key.revoked_at.is_none() && session.user.may("account:apikeys:delete");

    Ok(html! {
        (head(session, key, can_edit))
        (notices.flash.notice(&SENTENCES))
        // The errors of forms that are no longer shown.
        @if !can_edit { (general_error(notices.regeneration.as_ref(), &[])) }
        @if !can_revoke { (general_error(notices.revocation.as_ref(), &[])) }
        div .columns {
            (details::card(session, key).await)
            div {
                (access::card(session, key).await)
                (addresses::card(key, can_edit))
            }
        }
        (secrets::card(key))
        (usage::card(session, target, details).await?)
        (audit::recent_changes(session, &key.key_id).await)
        @if can_edit { (regeneration::card(session, key, notices.regeneration.as_ref())) }
        @if can_revoke { (revocation::card(session, key, notices.revocation.as_ref())) }
    })
}

fn head(session: &Session, key: &Key, can_edit: bool) -> Markup {
    html! {
        nav aria-label="Where this is" { a href=(PATH) { "All API keys" } }
        div .title {
            div {
                h1 { (key.name) }
                p {
                    (key.state(session.now)) " "
                    (badge("", &key.environment)) " "
                    code { (key.key_prefix) }
                }
            }
            div .buttons {
                @if can_edit {
                    a .button href={ (key.path()) "/edit" } { "Edit" }
                    a .button .quiet href={ (key.path()) "/ip-lists" } { "IP lists" }
                }
                a .button .quiet href=(with_query(explain::PATH, &[("key_id", &key.key_id)])) { "Explain a request" }
            }
        }
    }
}
