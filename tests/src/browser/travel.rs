//! Navigation between pages.

use anyhow::ensure;
use serde_json::json;

use super::Browser;

impl Browser {
    /// Opens a page of the site, by its path.
    ///
    /// # Panics
    /// Panics when the browser cannot.
    pub async fn open(&self, path: &str) {
        self.driver()
            .unwrap()
            .goto(format!("{}{path}", self.site))
            .await
            .unwrap();
    }

    /// Loads the page again.
    ///
    /// # Panics
    /// Panics when the browser cannot.
    pub async fn reload(&self) {
        self.driver().unwrap().refresh().await.unwrap();
    }

    /// Returns the page's path on the site, with its query.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn path(&self) -> String {
        let url = self.driver().unwrap().current_url().await.unwrap();
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        format!("{}{query}", url.path())
    }

    /// Waits until the page with this path is there.
    ///
    /// # Panics
    /// Panics when it does not come.
    pub async fn arrives_at(&self, path: &str) {
        let arrived = async || {
            let now = self.path().await;
            ensure!(now == path, "the page is {now} and not {path}");
            Ok(())
        };
        self.waits(arrived).await;
    }

    /// Goes back to the previous page, and waits until it is there, as another document than this
    /// one.
    ///
    /// # Panics
    /// Panics when it does not come.
    pub async fn goes_back(&self) {
        self.leaves(async || drop(self.run("history.back()", vec![]).await.unwrap()))
            .await;
    }

    /// Performs an action that leads to another document, and waits until that is there.
    pub(super) async fn leaves(&self, how: impl AsyncFnOnce()) {
        self.run("window.isLeft = true", vec![]).await.unwrap();
        how().await;
        let left = async || {
            let is_another =
                "return window.isLeft === undefined && document.readyState === 'complete'";
            ensure!(
                self.run(is_another, vec![]).await? == json!(true),
                "the page is still the same"
            );
            Ok(())
        };
        self.waits(left).await;
    }

    /// Returns the status of the server's response for the page.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn status(&self) -> u64 {
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
        self.run(script, vec![])
            .await
            .unwrap()
            .as_u64()
            .unwrap_or_default()
    }

    /// Waits until this number of requests that the page's script has sent to this path are
    /// answered.
    ///
    /// # Panics
    /// Panics when they are not answered, such as when the page has been left.
    pub async fn hears_from(&self, path: &str, times: u64) {
        let script = r#"
            const of = (entry) => new URL(entry.name).pathname === arguments[0] && entry.responseStatus !== 0;
            return performance.getEntriesByType("resource").filter(of).length"#;
        let heard = async || {
            let answers = self.run(script, vec![json!(path)]).await?;
            ensure!(
                answers.as_u64() >= Some(times),
                "{answers} answers came from {path}"
            );
            Ok(())
        };
        self.waits(heard).await;
    }
}
