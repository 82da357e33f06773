//! Escapes characters that could mislead, in names from before they were refused: pages show them
//! as the command line does, such as `\u{202e}`. The whole page is escaped as it is sent, so no
//! page can forget it. Edited texts stay as they are: the value of an input, and the text of a text
//! area.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use latchkey_model::text;
use std::borrow::Cow;

/// The text in a tag before a value that can be edited, and so is not escaped.
const VALUE: &str = " value=";

/// The element whose text is edited.
const TEXT_AREA: &str = "textarea";

/// Escapes a page; leaves everything else as it is.
pub(super) async fn escape(response: Response) -> Response {
    if !is_html(response.headers()) {
        return response;
    }

    let (mut parts, body) = response.into_parts();
    // The whole page is in memory already.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };

    let body = match str::from_utf8(&bytes).map(page) {
        Ok(Cow::Owned(page)) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Body::from(page)
        }
        _ => Body::from(bytes),
    };
    Response::from_parts(parts, body)
}

fn is_html(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

/// Escapes texts and attributes. In maud's output `<` and `>` are only the ends of tags, and `"` is
/// only around attributes.
fn page(html: &str) -> Cow<'_, str> {
    if html
        .bytes()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'))
    {
        return Cow::Borrowed(html);
    }

    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    let mut edited = false;
    while let Some((text, after)) = rest.split_once('<') {
        push(&mut out, text, edited);
        let (tag, after) = after.split_once('>').unwrap_or((after, ""));
        out.push('<');
        push_tag(&mut out, tag);
        out.push('>');
        edited = tag.starts_with(TEXT_AREA);
        rest = after;
    }
    push(&mut out, rest, edited);

    Cow::Owned(out)
}

fn push_tag(out: &mut String, tag: &str) {
    let mut edited = false;
    for (index, part) in tag.split('"').enumerate() {
        if index > 0 {
            out.push('"');
        }
        let is_attribute = index % 2 == 1;
        push(out, part, is_attribute && edited);
        edited = part.ends_with(VALUE);
    }
}

fn push(out: &mut String, text: &str, edited: bool) {
    if edited {
        out.push_str(text);
    } else {
        out.push_str(&text::escaped_lines(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maud::html;

    #[test]
    fn names_are_escaped_on_every_page() {
        let name = "\u{202e}a>\"<\u{1b}\u{200b}é";
        let shown = html! {
            h1 title=(name) { (name) br; "x" }
            p data-text=(name) { "a\n" (name) }
            input name="name" value=(name) placeholder=(name);
            textarea name="description" { (name) }
            p { (name) }
        };

        let shown = page(&shown.0).into_owned();
        let escaped = "\\u{202e}a&gt;&quot;&lt;\\u{1b}\\u{200b}é";
        let raw = "\u{202e}a&gt;&quot;&lt;\u{1b}\u{200b}é";
        let expected = format!(
            "<h1 title=\"{escaped}\">{escaped}<br>x</h1><p data-text=\"{escaped}\">a\n{escaped}</p>\
             <input name=\"name\" value=\"{raw}\" placeholder=\"{escaped}\">\
             <textarea name=\"description\">{raw}</textarea><p>{escaped}</p>"
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn plain_pages_stay_as_they_are() {
        for html in ["<p>a\r\n\tb</p>", "<p title=\"é\">می\u{200c}خواهم</p>", ""] {
            assert_eq!(page(html), html);
        }
    }
}
