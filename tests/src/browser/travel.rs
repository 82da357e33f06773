//! Getting from page to page.

use anyhow::ensure;
use serde_json::json;

use super::Browser;

impl Browser {
    /// Goes to a page of the site, by its path.
    ///
    /// # Panics
    /// When the browser cannot.
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
    /// When the browser cannot.
    pub async fn reload(&self) {
        self.driver().unwrap().refresh().await.unwrap();
    }

    /// The page's address on the site, with what is asked for.
    ///
    /// # Panics
    /// When the browser does not answer.
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
    /// When it does not come.
    pub async fn arrives_at(&self, path: &str) {
        let arrived = async || {
            let now = self.path().await;
            ensure!(now == path, "the page is {now} and not {path}");
            Ok(())
        };
        self.waits(arrived).await;
    }

    /// Goes back to the page before, and waits until it is there: another document than this one.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn goes_back(&self) {
        self.leaves(async || drop(self.run("history.back()", vec![]).await.unwrap()))
            .await;
    }

    /// Does what leads away from this document, and waits until another is there.
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

    /// The status with which the server has answered the page.
    ///
    /// # Panics
    /// When the browser does not answer.
    pub async fn status(&self) -> u64 {
        let script = "return performance.getEntriesByType('navigation')[0].responseStatus";
        self.run(script, vec![])
            .await
            .unwrap()
            .as_u64()
            .unwrap_or_default()
    }

    /// Waits until so many requests that the page has sent to this path by itself are answered.
    ///
    /// # Panics
    /// When they are not, such as when the page has been left.
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
