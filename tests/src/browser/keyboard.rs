//! The actions of a person who only uses a keyboard.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Browser;
use super::page::FIND;

/// The largest number of elements to tab through; no page has more.
const MOST_TABS: usize = 100;

/// The keys that are not letters, as WebDriver codes them.
pub mod keys {
    /// Moves to the next element.
    pub const TAB: &str = "\u{e004}";
    /// Presses a button, follows a link, or submits a form.
    pub const ENTER: &str = "\u{e007}";
    /// Ticks a box.
    pub const SPACE: &str = " ";
}

impl Browser {
    /// Types letters or [`keys`] into the focused element.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn types(&self, text: &str) {
        let typed = async || {
            Ok(self
                .driver()?
                .active_element()
                .await?
                .send_keys(text)
                .await?)
        };
        self.waits(typed).await;
    }

    /// Presses Tab until the element with this name has the focus.
    ///
    /// # Panics
    /// Panics when that does not come.
    pub async fn tabs_to(&self, words: &str) {
        // The element that replaces an earlier page's may not be there yet.
        self.waits(async || {
            ensure!(
                self.is_there(words).await?,
                "nothing on the page is called {words:?}"
            );
            Ok(())
        })
        .await;
        for _ in 0..MOST_TABS {
            if self.has_focus(words).await {
                return;
            }
            self.types(keys::TAB).await;
        }
        panic!("no number of tabs leads to {words:?}");
    }

    /// Returns true if the element with this name has the focus.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn has_focus(&self, words: &str) -> bool {
        self.asks("found.includes(document.activeElement)", words)
            .await
            .unwrap()
    }

    async fn is_there(&self, words: &str) -> Result<bool> {
        self.asks("found.length > 0", words).await
    }

    /// Evaluates a condition on `found`, the elements with this name.
    async fn asks(&self, question: &str, words: &str) -> Result<bool> {
        let script = format!(
            "const find = function () {{ {FIND} }};
            const found = [\"field\", \"button\"].flatMap((kind) => find(kind, arguments[0], null));
            return {question}"
        );
        Ok(self.run(&script, vec![json!(words)]).await? == Value::Bool(true))
    }
}
