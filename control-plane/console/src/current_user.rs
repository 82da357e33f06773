//! The page on which users change their own password.

use axum::Router;
use axum::http::Method;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::html;
use serde_json::json;

use crate::ConsoleState;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::error::PageError;
use crate::flash::{self, Flash};
use crate::layout::{self, CURRENT_USER_PATH as PATH};
use crate::session::{Session, VerifiedForm};
use crate::widgets::{csrf, error, general_error};

const SENTENCES: [(&str, &str); 1] = [(
    "changed",
    "Your password is changed. All of your other sessions have ended",
)];

const FIELDS: [&str; 3] = ["current_password", "new_password", "again"];

/// Returns the route of the page.
pub(super) fn router() -> Router<ConsoleState> {
    Router::new().route(PATH, get(page).post(change))
}

async fn page(session: Session, flash: Flash) -> Html<String> {
    show(&session, &flash, None)
}

async fn change(VerifiedForm { session, fields }: VerifiedForm) -> Result<Response, PageError> {
    let (current, new) = (fields.raw("current_password"), fields.raw("new_password"));

    let changed = if new == fields.raw("again") {
        let body = json!({ "current_password": current, "new_password": new });
        session
            .api
            .send::<Option<()>>(Method::PUT, "/v1/users/me/password", &body)
            .await
    } else {
        Err(Refusal::for_field(
            "again",
            "The two passwords do not match.",
        ))
    };

    match changed {
        Ok(_) => Ok(flash::redirect(PATH, "changed", None)),
        Err(refusal) if refusal.is_about_form() => Ok((
            refusal.status,
            show(&session, &Flash::default(), Some(&refusal)),
        )
            .into_response()),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Renders the page. Typed passwords are not sent back.
fn show(session: &Session, flash: &Flash, refusal: Option<&Refusal>) -> Html<String> {
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
        (flash.notice(&SENTENCES))
        (general_error(refusal, &FIELDS))
        form .card .narrow method="post" action=(PATH) {
            (csrf(session))
            input type="hidden" name="username" value=(session.user.email) autocomplete="username";
            (password("current_password", "Current password", "current-password", None))
            (password("new_password", "New password", "new-password", Some("At least 12 characters.")))
            (password("again", "New password again", "new-password", None))
            button type="submit" { "Change my password" }
        }
    };
    layout::page(session, PATH, "My password", &content)
}
