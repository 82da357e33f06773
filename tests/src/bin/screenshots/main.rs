//! `make screenshots`: pictures of all pages of the console, as they look after weeks of use.

mod palette;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use latchkey_tests::{Browser, DemoData, Gateway, Scheme, Size, day_in, workspace};

/// The sizes of the pictures: the part of the name, the minimum size of the picture, and its
/// maximum height.
const SIZES: [(&str, Size, u32); 2] = [("wide", (1280, 720), 1000), ("narrow", (390, 700), 900)];

// It uses one thread: the children end with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("latchkey-screenshots: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let gateway_url = (
        "LATCHKEY_GATEWAY_URL".to_owned(),
        "https://api.example.com".to_owned(),
    );
    let gateway = Gateway::builder().control_plane(|options| options.environment.push(gateway_url));
    let mut gateway = gateway.try_start().await?;
    let demo = gateway.with_demo_data().await?;
    let browser = Browser::try_start(gateway.control_plane.url("")).await?;
    let album = Album::empty(workspace().join("docs/console"))?;
    album
        .log_in(&browser, gateway.control_plane.credentials())
        .await?;
    album.pages(&browser, &demo).await?;
    album.wizard(&browser).await?;
    album.explain(&browser, &demo).await?;
    album.show()?;
    let bytes = album.weight()?;
    eprintln!(
        "latchkey-screenshots: {} KB in {}",
        bytes / 1_000,
        album.0.display()
    );
    Ok(())
}

/// The directory of the pictures.
struct Album(PathBuf);

impl Album {
    /// Creates the directory without the pictures of an earlier run.
    fn empty(dir: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&dir)?;
        let album = Self(dir);
        for picture in album.pictures()? {
            std::fs::remove_file(picture)?;
        }
        Ok(album)
    }

    async fn log_in(&self, browser: &Browser, (email, password): (&str, &str)) -> Result<()> {
        browser.open("/console/login").await;
        self.take(browser, "login").await?;
        browser.fill("Email address", email).await;
        browser.fill("Password", password).await;
        browser.press("Log in").await;
        browser.arrives_at("/console/keys").await;
        Ok(())
    }

    async fn pages(&self, browser: &Browser, demo: &DemoData) -> Result<()> {
        let key = format!("/console/keys/{}", demo.busy_key);
        let reader = format!("/console/users/{}", demo.reader.user_id);
        for (name, path) in [
            ("keys", "/console/keys"),
            ("key", &key),
            ("key-edit", &format!("{key}/edit")),
            ("key-ip-lists", &format!("{key}/ip-lists")),
            (
                "usage",
                &format!(
                    "/console/usage?from={}&to={}&bucket=day",
                    day_in(-12),
                    day_in(0)
                ),
            ),
            ("users", "/console/users"),
            ("user", &reader),
            ("user-new", "/console/users/new"),
            ("audit", "/console/audit"),
            ("nodes", "/console/nodes"),
            ("routes", "/console/routes"),
            ("password", "/console/me"),
        ] {
            browser.open(path).await;
            self.take(browser, name).await?;
        }
        Ok(())
    }

    /// Creates a key, and then revokes it.
    async fn wizard(&self, browser: &Browser) -> Result<()> {
        browser.open("/console/keys/new").await;
        browser.fill("Name", "Deployment of the shop").await;
        browser
            .fill("Description", "GitHub Actions; ask Grace")
            .await;
        browser.fill("Date", &day_in(90)).await;
        self.take(browser, "new-1-details").await?;
        browser.press("Next").await;
        browser.sees("All services").await;
        browser.tick("dns").await;
        browser.tick("cdn").await;
        self.take(browser, "new-2-access").await?;
        browser.press("Next").await;
        browser.sees("dns_manager").await;
        browser.tick("dns_manager").await;
        browser.tick("cache_purger").await;
        self.take(browser, "new-3-roles").await?;
        browser.press("Next").await;
        browser.sees("Requests a minute").await;
        browser.press_in("Allow", "Add an address").await;
        browser
            .fill_in("Allow", "Address or range", "192.0.2.0/24")
            .await;
        browser.fill("Requests a minute", "600").await;
        self.take(browser, "new-4-bounds").await?;
        browser.press("Create the key").await;
        browser.sees("I have stored the key").await;
        self.take(browser, "new-key").await?;
        browser.tick("I have stored the key").await;
        browser.press("Done").await;
        browser
            .fill(
                "Type the key's name to confirm: Deployment of the shop",
                "Deployment of the shop",
            )
            .await;
        browser.press("Revoke this key").await;
        browser.sees("In force on").await;
        self.take(browser, "key-revoked").await
    }

    async fn explain(&self, browser: &Browser, demo: &DemoData) -> Result<()> {
        browser.open("/console/explain").await;
        browser.fill("Key id", &demo.busy_key).await;
        browser.fill("Host", "api.example.com").await;
        browser.fill("Path", "/v4/zones/example.com").await;
        browser.fill("Source address", "127.0.0.1").await;
        browser.press_in("Source address", "Explain").await;
        browser.sees("Step by step").await;
        self.take(browser, "explain").await
    }

    /// Takes the current page in light and dark, wide and narrow.
    async fn take(&self, browser: &Browser, name: &str) -> Result<()> {
        for (width, size, longest) in SIZES {
            for scheme in Scheme::ALL {
                browser.prefer(scheme).await?;
                let picture = browser.picture(size, longest).await?;
                let file = self
                    .0
                    .join(format!("{name}-{width}-{}.png", scheme.as_str()));
                std::fs::write(&file, palette::reduce(&picture)?)
                    .with_context(|| format!("cannot write {}", file.display()))?;
            }
        }
        // Restores the size for the next step.
        browser.resize(SIZES[0].1).await
    }

    /// Writes a page that shows all of them.
    fn show(&self) -> Result<()> {
        let files: Vec<String> = self
            .pictures()?
            .iter()
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        let names: BTreeSet<&str> = files
            .iter()
            .filter_map(|file| file.strip_suffix("-wide-light"))
            .collect();
        let mut page =
            "# The console\n\nPictures of the console with demo data, taken by `make screenshots`.\n".to_owned();
        for name in names {
            let picture = |width: &str, scheme: &str| {
                format!("![{name}, {width}, {scheme}]({name}-{width}-{scheme}.png)")
            };
            let row = |width| {
                format!(
                    "| {} | {} |\n",
                    picture(width, "light"),
                    picture(width, "dark")
                )
            };
            let title = name.replace('-', " ");
            page += &format!(
                "\n## {title}\n\n| light | dark |\n|---|---|\n{}{}",
                row("wide"),
                row("narrow")
            );
        }
        Ok(std::fs::write(self.0.join("README.md"), page)?)
    }

    fn weight(&self) -> Result<u64> {
        self.pictures()?
            .iter()
            .map(|picture| Ok(std::fs::metadata(picture)?.len()))
            .sum()
    }

    fn pictures(&self) -> Result<Vec<PathBuf>> {
        let is_picture = |path: &Path| path.extension().is_some_and(|extension| extension == "png");
        let files = std::fs::read_dir(&self.0)?.map(|file| Ok(file?.path()));
        let files: Vec<PathBuf> = files.collect::<Result<_>>()?;
        Ok(files.into_iter().filter(|path| is_picture(path)).collect())
    }
}
