//! Creates a user.

use axum::http::Method;
use axum::response::{Html, IntoResponse, Response};
use latchkey_api_types::User;
use maud::html;

use super::PATH;
use super::authority::{self, Authority};
use super::choices::Choices;
use crate::api::Refusal;
use crate::aria::{described, invalid};
use crate::error::PageError;
use crate::flash;
use crate::layout;
use crate::session::{Session, VerifiedForm};
use crate::widgets::{csrf, error, general_error};

/// The fields that show their own errors.
const FIELDS: [&str; 5] = [
    "email",
    "password",
    authority::FIELDS[0],
    authority::FIELDS[1],
    authority::FIELDS[2],
];

/// Shows the empty form for a new user.
pub(super) async fn page(session: Session) -> Result<Response, PageError> {
    session.require("account:users:create", "add users")?;
    let choices = Choices::load(&session).await?;
    Ok(form(&session, &choices, "", &Authority::default(), None).into_response())
}

/// Creates the user, or shows the form with the error.
pub(super) async fn create(
    VerifiedForm { session, fields }: VerifiedForm,
) -> Result<Response, PageError> {
    session.require("account:users:create", "add users")?;
    let (email, authority) = (fields.text("email"), Authority::from_form(&fields));

    let mut body = authority.body();
    body["email"] = email.into();
    body["password"] = fields.raw("password").into();

    match session
        .api
        .send::<User>(Method::POST, "/v1/users", &body)
        .await
    {
        Ok(User { user_id, .. }) => {
            let page = format!("{PATH}/{user_id}");
            Ok(flash::redirect(&page, "created", None))
        }
        Err(refusal) if refusal.is_about_form() => {
            let choices = Choices::load(&session).await?;
            let page = form(&session, &choices, email, &authority, Some(&refusal));
            Ok((refusal.status, page).into_response())
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// Renders the form. A typed password is not sent back.
fn form(
    session: &Session,
    choices: &Choices,
    email: &str,
    authority: &Authority,
    refusal: Option<&Refusal>,
) -> Html<String> {
    let content = html! {
        h1 { "Add a user" }
        (general_error(refusal, &FIELDS))
        form .card method="post" action={ (PATH) "/new" } {
            (csrf(session))
            label { "Email address"
                input type="email" name="email" value=(email) autocomplete="off" required
                    aria-invalid=[invalid(refusal, "email")] aria-describedby=[described(refusal, "email", None)];
                (error(refusal, "email"))
            }
            label { "Password"
                input type="password" name="password" autocomplete="new-password" minlength="12" required
                    aria-invalid=[invalid(refusal, "password")]
                    aria-describedby=[described(refusal, "password", Some("password-help"))];
                span .help #password-help { "At least 12 characters. The user can change it after \
                logging in." }
                (error(refusal, "password"))
            }
            (authority.fields(choices, refusal))
            div .buttons {
                button type="submit" { "Add the user" }
                a href=(PATH) { "Cancel" }
            }
        }
    };
    layout::page(session, PATH, "Add a user", &content)
}
