//! The layout that all pages share.

use axum::http::HeaderMap;
use axum::response::{Html, Redirect};
use maud::{DOCTYPE, Markup, html};

use crate::START;
use crate::assets;
use crate::partial::is_partial;
use crate::session::{CSRF_FIELD, Session};

/// The path of the page of the logged-in user.
pub(super) const CURRENT_USER_PATH: &str = "/console/me";

/// A section of the console, with its path and the permission to see it.
struct Section {
    name: &'static str,
    path: &'static str,
    permission: &'static str,
}

const SECTIONS: [Section; 7] = [
    Section {
        name: "API keys",
        path: "/console/keys",
        permission: "account:apikeys:read",
    },
    Section {
        name: "Usage",
        path: "/console/usage",
        permission: "account:usage:read",
    },
    Section {
        name: "Explain",
        path: "/console/explain",
        permission: "account:apikeys:read",
    },
    Section {
        name: "Users",
        path: "/console/users",
        permission: "account:users:read",
    },
    Section {
        name: "Audit",
        path: "/console/audit",
        permission: "account:audit:read",
    },
    Section {
        name: "Nodes",
        path: "/console/nodes",
        permission: "gateway:nodes:read",
    },
    Section {
        name: "Routes",
        path: "/console/routes",
        permission: "gateway:routes:read",
    },
];

/// Redirects to the first section that the user may see.
pub(super) async fn start(session: Session) -> Redirect {
    let section = SECTIONS
        .iter()
        .find(|section| session.user.may(section.permission));
    Redirect::to(section.map_or(CURRENT_USER_PATH, |section| section.path))
}

/// Renders a page of a session. `path` is the path of its section.
pub(super) fn page(session: &Session, path: &str, title: &str, content: &Markup) -> Html<String> {
    let body = html! {
        a .skip href="#content" { "Skip to the content" }
        header .top {
            a .brand href=(START) { "Latchkey" }
            nav aria-label="Console" {
                @for section in SECTIONS.iter().filter(|section| session.user.may(section.permission)) {
                    a href=(section.path) aria-current=[(section.path == path).then_some("page")] { (section.name) }
                }
            }
            form .me method="post" action="/console/logout" {
                input type="hidden" name=(CSRF_FIELD) value=(session.csrf);
                a href=(CURRENT_USER_PATH) title=(session.user.user_id) { (session.user.email) }
                button .quiet type="submit" { "Log out" }
            }
        }
        p #unreachable .notice .bad role="alert" hidden { "The control plane does not answer. \
        This page may be out of date." }
        main id="content" tabindex="-1" { (content) }
        p #said .hidden role="status" {}
    };
    let headers = format!(r#"{{"x-csrf-token":"{}"}}"#, session.csrf);
    document(title, &body, Some(&headers))
}

/// Renders only the page's content for htmx, which replaces the current content; otherwise the
/// whole page.
pub(super) fn content(
    session: &Session,
    headers: &HeaderMap,
    path: &str,
    title: &str,
    content: &Markup,
) -> Html<String> {
    if is_partial(headers) {
        return Html(html! { title { (title) " · Latchkey" } (content) }.into_string());
    }
    page(session, path, title, content)
}

/// Renders a page without a session.
pub(super) fn without_session(title: &str, content: Markup) -> Markup {
    let body = html! { main .alone id="content" { p .brand { "Latchkey" } (content) } };
    maud::PreEscaped(document(title, &body, None).0)
}

fn document(title: &str, body: &Markup, headers: Option<&str>) -> Html<String> {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=(assets::HTMX_CONFIG);
                title { (title) " · Latchkey" }
                link rel="icon" href=(assets::ICON.path) type="image/svg+xml";
                link rel="stylesheet" href=(assets::STYLE.path);
                script src=(assets::HTMX.path) defer {}
                script src=(assets::SCRIPT.path) defer {}
            }
            body hx-headers=[headers] hx-history="false" { (body) }
        }
    };
    Html(document.into_string())
}
