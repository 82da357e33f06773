//! The actions of a person on a page, and what they see there. They find elements by their text,
//! and wait for slow results. If a result does not appear, the method panics with the content of
//! the page.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use thirtyfour::WebElement;
use thirtyfour::error::{WebDriverError, WebDriverErrorInner};

use super::Browser;
use crate::wait::eventually;

/// The time for which the methods wait. Pages are there much sooner, but other tests share the
/// machine.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const FIND: &str = include_str!("find.js");

/// The length of the page's text in a failure message.
const SHOWN: usize = 3_000;

impl Browser {
    /// Fills in the field with this label: types into it, or chooses one of its options.
    ///
    /// # Panics
    /// Panics when there is no such field.
    pub async fn fill(&self, label: &str, text: &str) {
        self.waits(async || type_into(&self.field(label, None).await?, text).await)
            .await;
    }

    /// Fills in one of several fields with this label: the one in the part of the page that
    /// contains these words.
    ///
    /// # Panics
    /// Panics when there is no such field.
    pub async fn fill_in(&self, part: &str, label: &str, text: &str) {
        self.waits(async || type_into(&self.field(label, Some(part)).await?, text).await)
            .await;
    }

    /// Returns the content of the field with this label.
    ///
    /// # Panics
    /// Panics when there is no such field.
    pub async fn value(&self, label: &str) -> String {
        let value = async || {
            Ok(self
                .field(label, None)
                .await?
                .prop("value")
                .await?
                .unwrap_or_default())
        };
        self.waits(value).await
    }

    /// Waits until exactly `count` fields have this label.
    ///
    /// # Panics
    /// Panics when it does not come to that.
    pub async fn shows_fields(&self, label: &str, count: usize) {
        let shown = async || {
            let fields = self.find("field", label, None).await?.len();
            ensure!(fields == count, "{fields} fields are called {label:?}");
            Ok(())
        };
        self.waits(shown).await;
    }

    /// Returns true if any field contains this text.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn fields_hold(&self, text: &str) -> bool {
        let script = "return [...document.querySelectorAll('input, textarea')].some((f) => f.value === arguments[0])";
        self.run(script, vec![json!(text)]).await.unwrap() == json!(true)
    }

    /// Ticks the box, or chooses the radio button, with this label.
    ///
    /// # Panics
    /// Panics when there is no such field.
    pub async fn tick(&self, label: &str) {
        let tick = async || {
            let field = self.field(label, None).await?;
            if !field.is_selected().await? {
                field.click().await?;
            }
            Ok(())
        };
        self.waits(tick).await;
    }

    /// Takes the tick off the box with this label.
    ///
    /// # Panics
    /// Panics when there is no such field.
    pub async fn untick(&self, label: &str) {
        let untick = async || {
            let field = self.field(label, None).await?;
            if field.is_selected().await? {
                field.click().await?;
            }
            Ok(())
        };
        self.waits(untick).await;
    }

    /// Presses the button, or follows the link, with this text.
    ///
    /// # Panics
    /// Panics when there is none, or it cannot be pressed.
    pub async fn press(&self, text: &str) {
        self.waits(async || press(&self.button(text, None).await?, text).await)
            .await;
    }

    /// Presses the button with this text, and waits until another page is there, or the same page
    /// again.
    ///
    /// # Panics
    /// Panics when there is no such button, or when it cannot be pressed or leads nowhere.
    pub async fn sends(&self, text: &str) {
        self.leaves(async || self.press(text).await).await;
    }

    /// Presses the button, or follows the link, with this text in the part of the page that
    /// contains these words.
    ///
    /// # Panics
    /// Panics when there is none, or it cannot be pressed.
    pub async fn press_in(&self, part: &str, text: &str) {
        self.waits(async || press(&self.button(text, Some(part)).await?, text).await)
            .await;
    }

    /// Opens every collapsed element of the page.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn unfold(&self) {
        let script =
            "for (const folded of document.querySelectorAll('details')) folded.open = true";
        self.run(script, vec![]).await.unwrap();
    }

    /// Returns true if the page has an element with this text that can be pressed.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn offers(&self, text: &str) -> bool {
        !self.find("button", text, None).await.unwrap().is_empty()
    }

    /// Waits until the button with this text cannot be pressed.
    ///
    /// # Panics
    /// Panics when it can still be pressed.
    pub async fn withholds(&self, text: &str) {
        let withheld = async || {
            ensure!(
                !self.button(text, None).await?.is_enabled().await?,
                "{text:?} can be pressed"
            );
            Ok(())
        };
        self.waits(withheld).await;
    }

    /// Waits until the page shows this text.
    ///
    /// # Panics
    /// Panics when it does not.
    pub async fn sees(&self, text: &str) {
        let seen = async || {
            ensure!(
                self.text().await?.contains(text),
                "{text:?} is not on the page"
            );
            Ok(())
        };
        self.waits(seen).await;
    }

    /// Waits until the page no longer shows this text.
    ///
    /// # Panics
    /// Panics when it still does.
    pub async fn no_longer_sees(&self, text: &str) {
        let gone = async || {
            ensure!(
                !self.text().await?.contains(text),
                "{text:?} is on the page"
            );
            Ok(())
        };
        self.waits(gone).await;
    }

    /// Returns all text that the page shows, with single spaces.
    ///
    /// # Errors
    /// Fails when the browser does not answer.
    pub async fn text(&self) -> Result<String> {
        let text = self
            .run(
                r#"return document.body.innerText.replace(/\s+/g, " ").trim()"#,
                vec![],
            )
            .await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Returns the texts of the elements that match a selector.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn texts(&self, selector: &str) -> Vec<String> {
        let script =
            r#"return [...document.querySelectorAll(arguments[0])].map(e => e.innerText.trim())"#;
        let texts = self.run(script, vec![json!(selector)]).await.unwrap();
        serde_json::from_value(texts).unwrap()
    }

    /// Returns the value of the cookie with that name, if this page has one.
    ///
    /// # Panics
    /// Panics when the browser does not answer.
    pub async fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.driver().unwrap().get_all_cookies().await.unwrap();
        cookies
            .into_iter()
            .find(|cookie| cookie.name == name)
            .map(|cookie| cookie.value)
    }

    /// Waits for a file that is saved under this name, and returns its content.
    ///
    /// # Panics
    /// Panics when it does not come.
    pub async fn downloaded(&self, name: &str) -> String {
        let read = async || {
            // An incomplete download has another name, and this file is empty.
            let text = std::fs::read_to_string(self.downloads().join(name))?;
            ensure!(!text.is_empty(), "{name} is empty");
            Ok(text)
        };
        self.waits(read).await
    }

    /// Waits until the probe succeeds.
    pub(super) async fn waits<T>(&self, probe: impl AsyncFn() -> Result<T>) -> T {
        let tried = eventually(PATIENCE, async || {
            match probe().await {
                // The element was replaced between being found and being used.
                Err(error) if is_stale(&error) => bail!("the page was changing"),
                other => other,
            }
        });
        match tried.await {
            Ok(found) => found,
            Err(error) => {
                let text: String = self
                    .text()
                    .await
                    .unwrap_or_default()
                    .chars()
                    .take(SHOWN)
                    .collect();
                panic!("{error:#}. {} shows: {text}", self.path().await)
            }
        }
    }

    async fn field(&self, label: &str, part: Option<&str>) -> Result<WebElement> {
        self.only("field", label, part).await
    }

    async fn button(&self, text: &str, part: Option<&str>) -> Result<WebElement> {
        self.only("button", text, part).await
    }

    async fn only(&self, kind: &str, text: &str, part: Option<&str>) -> Result<WebElement> {
        let mut found = self.find(kind, text, part).await?;
        let place = part.map(|part| format!(" at {part:?}")).unwrap_or_default();
        ensure!(
            found.len() == 1,
            "{} of kind {kind:?} are called {text:?}{place}",
            found.len()
        );
        found.pop().context("none")
    }

    async fn find(&self, kind: &str, text: &str, part: Option<&str>) -> Result<Vec<WebElement>> {
        let arguments: Vec<Value> = vec![json!(kind), json!(text), json!(part)];
        Ok(self.driver()?.execute(FIND, arguments).await?.elements()?)
    }
}

async fn type_into(field: &WebElement, text: &str) -> Result<()> {
    let (tag, kind) = (
        field.tag_name().await?,
        field.prop("type").await?.unwrap_or_default(),
    );
    if tag == "select" || kind.starts_with("date") {
        // These fields expect different keys on different systems.
        let script = r#"
            const [field, text] = arguments;
            const option = [...(field.options ?? [])].find((option) => option.text.trim() === text);
            field.value = option ? option.value : text;
            for (const event of ["input", "change"]) field.dispatchEvent(new Event(event, { bubbles: true }));
            return field.value !== "" || text === """#;
        let chosen = field
            .handle()
            .execute(script, vec![field.to_json()?, json!(text)])
            .await?;
        ensure!(chosen.json() == true, "the field does not take {text:?}");
        return Ok(());
    }
    field.clear().await?;
    Ok(field.send_keys(text).await?)
}

async fn press(button: &WebElement, text: &str) -> Result<()> {
    ensure!(button.is_enabled().await?, "{text:?} cannot be pressed");
    Ok(button.click().await?)
}

fn is_stale(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<WebDriverError>();
    error.is_some_and(|error| {
        matches!(
            error.as_inner(),
            WebDriverErrorInner::StaleElementReference(_)
        )
    })
}
