//! The notice about a completed change and its enforcement, shown once on the next page. Until then
//! it is in a cookie of that page, since anybody could forge an address.

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use maud::{Markup, html};
use serde::Deserialize;
use std::convert::Infallible;

use crate::ConsoleState;
use crate::partial::is_partial;
use crate::widgets::number;

const COOKIE: &str = "latchkey_done";

/// The enforcement progress of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Enforcement {
    nodes: u64,
    acknowledged: u64,
    #[serde(default)]
    lost: u64,
    elapsed_ms: u64,
}

/// The API's response to a change that nodes enforce.
#[derive(Debug, Deserialize)]
pub(super) struct ChangeResponse {
    pub(super) enforcement: Enforcement,
}

/// The change that was just made; empty for most pages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flash {
    word: String,
    enforcement: Option<Enforcement>,
}

impl FromRequestParts<ConsoleState> for Flash {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &ConsoleState) -> Result<Self, Infallible> {
        Ok(cookie_value(&parts.headers)
            .and_then(|value| Self::parse(&value))
            .unwrap_or_default())
    }
}

fn cookie_value(headers: &HeaderMap) -> Option<String> {
    CookieJar::from_headers(headers)
        .get(COOKIE)
        .map(|cookie| cookie.value().to_owned())
}

/// Redirects to the page that shows the notice. `word` is one of the page's notices.
pub(super) fn redirect(page: &str, word: &str, enforcement: Option<Enforcement>) -> Response {
    let flash = Flash {
        word: word.to_owned(),
        enforcement,
    };
    let jar = CookieJar::new().add(page_cookie(page, flash.to_string()));
    (jar, Redirect::to(page)).into_response()
}

/// Removes the notice's cookie once the page has shown it.
pub(super) async fn show_once(request: Request, next: Next) -> Response {
    let page = request.uri().path().to_owned();
    let headers = request.headers();
    let is_shown =
        request.method() == Method::GET && !is_partial(headers) && cookie_value(headers).is_some();

    let mut response = next.run(request).await;

    let mut removal = page_cookie(&page, String::new());
    removal.make_removal();
    if let (true, Ok(removal)) = (is_shown, HeaderValue::try_from(removal.to_string())) {
        response.headers_mut().append(header::SET_COOKIE, removal);
    }
    response
}

/// Returns the cookie of a page.
fn page_cookie(page: &str, value: String) -> Cookie<'static> {
    Cookie::build((COOKIE, value))
        .path(page.to_owned())
        .http_only(true)
        .same_site(SameSite::Strict)
        .build()
}

impl std::fmt::Display for Flash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.word)?;
        match self.enforcement {
            Some(Enforcement {
                nodes,
                acknowledged,
                lost,
                elapsed_ms,
            }) => {
                write!(f, ".{nodes}.{acknowledged}.{lost}.{elapsed_ms}")
            }
            None => Ok(()),
        }
    }
}

impl Flash {
    fn parse(text: &str) -> Option<Self> {
        let (word, enforcement) = match text.split('.').collect::<Vec<_>>()[..] {
            [word] => (word, None),
            [word, nodes, acknowledged, lost, elapsed_ms] => {
                let (nodes, acknowledged) = (nodes.parse().ok()?, acknowledged.parse().ok()?);
                let (lost, elapsed_ms) = (lost.parse().ok()?, elapsed_ms.parse().ok()?);
                (
                    word,
                    Some(Enforcement {
                        nodes,
                        acknowledged,
                        lost,
                        elapsed_ms,
                    }),
                )
            }
            _ => return None,
        };

        Some(Self {
            word: word.to_owned(),
            enforcement,
        })
    }

    /// Renders the sentence for this notice. The texts in `sentences` have no full stop. Unknown
    /// words render nothing.
    pub(super) fn notice(&self, sentences: &[(&str, &str)]) -> Markup {
        let Some((_, sentence)) = sentences.iter().find(|(word, _)| *word == self.word) else {
            return html! {};
        };
        match &self.enforcement {
            Some(enforcement) => enforcement.notice(sentence),
            None => html! { p .notice role="status" { (sentence) "." } },
        }
    }
}

impl Enforcement {
    /// Renders a sentence, which is given without its full stop, and the enforcement progress.
    pub(super) fn notice(&self, sentence: &str) -> Markup {
        let Self {
            nodes,
            acknowledged,
            lost,
            elapsed_ms,
        } = *self;

        let complete = acknowledged >= nodes;
        html! {
            p .notice .warn[!complete] role="status" {
                (sentence) ". "
                @if nodes == 0 {
                    "No node is connected, so no node had to acknowledge it."
                } @else {
                    "In force on " (number(acknowledged)) " of " (number(nodes)) @if nodes == 1 { " node, " } @else { " nodes, " }
                    (number(elapsed_ms)) " ms."
                    @if acknowledged + lost < nodes { " The others follow as soon as they can be \
                    reached." }
                    @if lost > 0 {
                        " " (number(lost)) @if lost == 1 { " node is lost" } @else { " nodes are lost" }
                        " and may still serve without the change: see " a href="/console/nodes" { "Nodes" } "."
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(nodes: u64, acknowledged: u64) -> String {
        Enforcement {
            nodes,
            acknowledged,
            lost: 0,
            elapsed_ms: 4,
        }
        .notice("Revoked")
        .into_string()
    }

    #[test]
    fn notice_shows_the_enforcement_progress() {
        assert!(notice(3, 3).contains("\"notice\""));
        assert!(
            notice(3, 3).contains("Revoked. In force on 3 of 3 nodes, 4 ms.<"),
            "{}",
            notice(3, 3)
        );
        assert!(notice(1, 1).contains("1 of 1 node, 4 ms."));
        assert!(
            notice(3, 2).contains("notice warn")
                && notice(3, 2).contains("2 of 3 nodes, 4 ms. The others follow")
        );
        assert!(notice(0, 0).contains("No node is connected"));

        let lost = Enforcement {
            nodes: 3,
            acknowledged: 2,
            lost: 1,
            elapsed_ms: 4,
        }
        .notice("Revoked")
        .into_string();
        assert!(
            lost.contains("notice warn") && lost.contains("1 node is lost and may still serve"),
            "{lost}"
        );
        assert!(!lost.contains("The others follow"), "{lost}");
    }

    #[test]
    fn flash_survives_its_cookie() {
        for enforcement in [
            None,
            Some(Enforcement {
                nodes: 3,
                acknowledged: 2,
                lost: 1,
                elapsed_ms: 1_000,
            }),
        ] {
            let flash = Flash {
                word: "saved".to_owned(),
                enforcement,
            };
            assert_eq!(Flash::parse(&flash.to_string()), Some(flash));
        }

        for wrong in [
            "saved.1",
            "saved.1.2.3.4.5",
            "saved.1.2.0.many",
            "saved.-1.2.0.3",
        ] {
            assert_eq!(Flash::parse(wrong), None, "{wrong}");
        }
        assert!(
            Flash::parse("<b>")
                .unwrap_or_default()
                .notice(&[("saved", "Saved")])
                .into_string()
                .is_empty()
        );
    }
}
