//! Shows the page of one key.

use axum::response::{Html, IntoResponse, Response};
use maud::{Markup, html};

use super::target::{Shown, Target};
use super::view::Key;
use super::{PATH, details, ip_lists, regenerate, revoke, used};
use crate::api::{Refusal, with_query};
use crate::audit;
use crate::done::Done;
use crate::explain;
use crate::failure::Failure;
use crate::layout;
use crate::session::Session;
use crate::widgets::{badge, general_error};

const SENTENCES: [(&str, &str); 2] = [("saved", "Saved"), ("revoked", "Revoked")];

/// Notices and errors on the page.
#[derive(Default)]
pub(super) struct Notes {
    /// The change that was made before the page was shown.
    pub(super) done: Done,
    /// The error of a refused regeneration.
    pub(super) overlap: Option<Refusal>,
    /// The error of a refused revocation.
    pub(super) revocation: Option<Refusal>,
}

pub(super) async fn page(
    session: Session,
    target: Target,
    done: Done,
) -> Result<Response, Failure> {
    Ok(whole(
        &session,
        &target,
        &Notes {
            done,
            ..Notes::default()
        },
    )
    .await?
    .into_response())
}

/// Renders the page with these notices and errors.
pub(super) async fn whole(
    session: &Session,
    target: &Target,
    notes: &Notes,
) -> Result<Html<String>, Failure> {
    let shown = target.shown(session).await?;
    let content = content(session, target, &shown, notes).await?;
    Ok(layout::page(session, PATH, &shown.key.name, &content))
}

/// Renders the content of the page.
pub(super) async fn content(
    session: &Session,
    target: &Target,
    shown: &Shown,
    notes: &Notes,
) -> Result<Markup, Failure> {
    let key = &shown.key;
    let edits = key.revoked_at.is_none() && session.me.may("account:apikeys:update");
    let revokes = key.revoked_at.is_none() && session.me.may("account:apikeys:delete");
    Ok(html! {
        (head(session, key, edits))
        (notes.done.notice(&SENTENCES))
        // The errors of forms that are no longer shown.
        @if !edits { (general_error(notes.overlap.as_ref(), &[])) }
        @if !revokes { (general_error(notes.revocation.as_ref(), &[])) }
        div .columns {
            (details::card(session, key).await)
            div {
                (details::access(session, key).await)
                (ip_lists::card(key, edits))
            }
        }
        (details::secrets(key))
        (used::card(session, target, shown).await?)
        (audit::recent_of(session, &key.key_id).await)
        @if edits { (regenerate::card(session, key, notes.overlap.as_ref())) }
        @if revokes { (revoke::card(session, key, notes.revocation.as_ref())) }
    })
}

fn head(session: &Session, key: &Key, edits: bool) -> Markup {
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
                @if edits {
                    a .button href={ (key.path()) "/edit" } { "Edit" }
                    a .button .quiet href={ (key.path()) "/ip-lists" } { "IP lists" }
                }
                a .button .quiet href=(with_query(explain::PATH, &[("key_id", &key.key_id)])) { "Explain a request" }
            }
        }
    }
}
