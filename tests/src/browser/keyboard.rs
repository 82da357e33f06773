//! What a person does who has a keyboard alone.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Browser;
use super::page::FIND;

/// No page has more to tab through.
const MOST_TABS: usize = 100;

/// The keys that are no letters, as WebDriver has them.
pub mod keys {
    /// On to the next element.
    pub const TAB: &str = "\u{e004}";
    /// Presses a button, follows a link, or sends a form.
    pub const ENTER: &str = "\u{e007}";
    /// Ticks a box.
    pub const SPACE: &str = " ";
}

impl Browser {
    /// Types into what has the focus: letters, or [`keys`].
    ///
    /// # Panics
    /// When the browser does not answer.
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

    /// Tabs on until what is called this has the focus.
    ///
    /// # Panics
    /// When that does not come.
    pub async fn tabs_to(&self, words: &str) {
        // What takes the place of a former page may still be on its way.
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

    /// Whether what is called this has the focus.
    ///
    /// # Panics
    /// When the browser does not answer.
    pub async fn has_focus(&self, words: &str) -> bool {
        self.asks("found.includes(document.activeElement)", words)
            .await
            .unwrap()
    }

    async fn is_there(&self, words: &str) -> Result<bool> {
        self.asks("found.length > 0", words).await
    }

    /// What is so of all that is called this.
    async fn asks(&self, question: &str, words: &str) -> Result<bool> {
        let script = format!(
            "const find = function () {{ {FIND} }};
            const found = [\"field\", \"button\"].flatMap((kind) => find(kind, arguments[0], null));
            return {question}"
        );
        Ok(self.run(&script, vec![json!(words)]).await? == Value::Bool(true))
    }
}
