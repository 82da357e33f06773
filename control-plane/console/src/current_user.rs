//! The page on which users change their own password.

use axum::Router;
use axum::http::Method;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::html;
use serde_json::json;

use crate::Page;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::done::{self, Done};
use crate::failure::Failure;
use crate::layout;
use crate::session::{Sent, Session};
use crate::widgets::{csrf, error, general_error};

pub(super) const PATH: &str = "/console/me";

const SENTENCES: [(&str, &str); 1] = [(
    "changed",
    "Your password is changed. All of your other sessions have ended",
)];

const FIELDS: [&str; 3] = ["current_password", "new_password", "again"];

pub(super) fn router() -> Router<Page> {
    Router::new().route(PATH, get(page).post(change))
}

async fn page(session: Session, done: Done) -> Html<String> {
    show(&session, &done, None)
}

async fn change(Sent { session, fields }: Sent) -> Result<Response, Failure> {
    let (current, new) = (fields.raw("current_password"), fields.raw("new_password"));
    let changed = if new == fields.raw("again") {
        let body = json!({ "current_password": current, "new_password": new });
        session
            .api
            .send::<Option<()>>(Method::PUT, "/v1/users/me/password", &body)
            .await
    } else {
        Err(Refusal::of_field(
            "again",
            "The two passwords do not match.",
        ))
    };
    match changed {
        Ok(_) => Ok(done::redirect(PATH, "changed", None)),
        Err(refusal) if refusal.is_of_form() => Ok((
            refusal.status,
            show(&session, &Done::default(), Some(&refusal)),
        )
            .into_response()),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Renders the page. Typed passwords are not sent back.
fn show(session: &Session, done: &Done, refusal: Option<&Refusal>) -> Html<String> {
    let password = |name: &str, title: &str, kind: &str, help: Option<&str>| {
        let help_id = help.map(|_| format!("{name}-help"));
        html! {
            label { (title)
                input type="password" name=(name) autocomplete=(kind) required
                    aria-invalid=[invalid(refusal, name)]
                    aria-describedby=[described(refusal, name, help_id.as_deref())];
                @if let (Some(help), Some(id)) = (help, &help_id) { span .help id=(id) { (help) } }
                (error(refusal, name))
            }
        }
    };
    let content = html! {
        h1 { "My password" }
        (done.notice(&SENTENCES))
        (general_error(refusal, &FIELDS))
        form .card .narrow method="post" action=(PATH) {
            (csrf(session))
            input type="hidden" name="username" value=(session.me.email) autocomplete="username";
            (password("current_password", "Current password", "current-password", None))
            (password("new_password", "New password", "new-password", Some("At least 12 characters.")))
            (password("again", "New password again", "new-password", None))
            button type="submit" { "Change my password" }
        }
    };
    layout::page(session, PATH, "My password", &content)
}
