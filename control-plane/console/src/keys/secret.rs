//! Shows a new secret once, to copy, save and try it.

use maud::{Markup, html};

use super::PATH;

/// The extension of files that contain only a key.
const EXTENSION: &str = ".PAK";

/// The name of the button that continues, once the box is ticked.
const DONE: &str = "done";

/// Renders the key, a command to try it at the `gateway` if that is known, and a form to continue
/// to the key's page once the user confirms that the key is stored.
pub(super) fn card(gateway: Option<&str>, name: &str, key_id: &str, api_key: &str) -> Markup {
    html! {
        section .card aria-labelledby="secret-title" {
            h2 id="secret-title" tabindex="-1" autofocus { "The key of " (name) }
            p .notice .warn { "The key is shown only once. Store it now, like a password." }
            code .secret id="secret" { (api_key) }
            p .buttons .scripted {
                button type="button" data-copy="secret" { "Copy" }
                button .quiet type="button" data-save="secret" data-save-as=(file_name(name)) { "Save as .PAK" }
            }
            h3 { "Try it" }
            pre tabindex="0" role="region" aria-label="A request with the key" {
                code id="try" { "curl -i -H 'X-API-Key: " (api_key) "' '" (gateway.unwrap_or("https://YOUR-GATEWAY")) "/'" }
            }
            @if gateway.is_none() {
                p .help {
                    "Replace https://YOUR-GATEWAY with the address of your Envoy. If the control \
                     plane's setting " code { "gateway-url" } " is set, it is shown here."
                }
            }
            p .buttons .scripted { button .quiet type="button" data-copy="try" { "Copy the line" } }
            form action={ (PATH) "/" (key_id) } {
                label .box {
                    input type="checkbox" required data-enables=(DONE);
                    "I have stored the key"
                }
                button type="submit" id=(DONE) { "Done" }
            }
        }
    }
}

/// Returns a file name that is valid on every system.
fn file_name(name: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-') {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).collect();
    let name = name.trim_matches([' ', '.']);
    format!("{}{EXTENSION}", if name.is_empty() { "key" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_named_after_the_key() {
        for (name, expected) in [
            ("CI of Zürich", "CI of Zürich.PAK"),
            ("../../etc/passwd", "-..-etc-passwd.PAK"),
            ("<script>", "-script-.PAK"),
            ("...", "key.PAK"),
        ] {
            assert_eq!(file_name(name), expected);
        }
    }

    #[test]
    fn secret_is_only_in_the_copied_text() {
        let unknown = card(None, "<b>CI</b>", "key_1", "lk_live_secret").into_string();
        assert_eq!(unknown.matches("lk_live_secret").count(), 2);
        assert!(
            unknown.contains("id=\"secret\">lk_live_secret</code>"),
            "{unknown}"
        );
        assert!(unknown.contains("https://YOUR-GATEWAY/"), "{unknown}");

        let known = card(
            Some("https://api.example.com"),
            "CI",
            "key_1",
            "lk_live_secret",
        )
        .into_string();
        assert!(
            known.contains("X-API-Key: lk_live_secret' 'https://api.example.com/'")
                && !known.contains("YOUR"),
            "{known}"
        );
        assert!(
            unknown.contains("action=\"/console/keys/key_1\"") && !unknown.contains("<b>"),
            "{unknown}"
        );
    }
}
