//! The commands in the docs: each page's `sh` blocks run in order, in one shell, with a demo that
//! is started for the page.
//!
//! Comments directly before a block say more about it:
//! - `<!-- prints: TEXT -->`: the block's output contains the text. May be repeated.
//! - `<!-- exits: N -->`: the block ends with this exit code, 0 by default.
//! - `<!-- not run: REASON; checked by CHECK -->`: the block does not run. The check is a test, as
//!   `PATH::NAME`, or a target, as `make NAME`; several are separated by commas.
//! - `<!-- file: NAME -->`, before a block of another language: the block is saved under this name
//!   in the shell's working directory, for later commands.

mod page;
mod reference;
mod session;
mod tutorial;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use latchkey_tests::workspace;

use self::page::{Kind, Page};

/// Declares a test for each page, and the list of the pages.
macro_rules! pages {
    ($($test:ident: $path:literal),* $(,)?) => {
        /// Every page with commands that run.
        const PAGES: &[&str] = &[$($path),*];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                check_commands($path).await;
            }
        )*
    };
}

pages! {
    readme: "README.md",
    quickstart: "docs/quickstart.md",
    protect_an_envoy: "docs/tutorials/protect-an-envoy.md",
    migrate_from_api_key_auth: "docs/tutorials/migrate-from-api-key-auth.md",
    migrate_from_kong: "docs/tutorials/migrate-from-kong.md",
    migrate_from_unkey: "docs/tutorials/migrate-from-unkey.md",
    ci_cd: "docs/tutorials/ci-cd.md",
    keys: "docs/keys.md",
    import: "docs/import.md",
    routes: "docs/routes.md",
    paths: "docs/paths.md",
    verdicts: "docs/verdicts.md",
    limits: "docs/limits.md",
    console: "docs/console.md",
    cli: "docs/cli.md",
    api: "docs/api.md",
    usage_and_audit: "docs/usage-and-audit.md",
    webhooks: "docs/webhooks.md",
    configuration: "docs/operations/configuration.md",
    metrics_and_logs: "docs/operations/metrics-and-logs.md",
    backup: "docs/operations/backup.md",
    upgrading: "docs/operations/upgrading.md",
    security_model: "docs/operations/security-model.md",
}

/// Runs the commands of a page.
async fn check_commands(path: &str) {
    let page = read(path).unwrap();
    if let Err(report) = session::run(&page).await {
        panic!("{report:#}");
    }
}

#[test]
fn every_page_with_commands_is_listed() {
    let with_commands: Vec<_> = all_pages()
        .unwrap()
        .into_iter()
        .filter(|path| {
            read(path).is_ok_and(|page| page.blocks.iter().any(|block| block.kind.runs()))
        })
        .collect();
    let mut listed = PAGES.to_vec();
    listed.sort_unstable();
    assert_eq!(listed, with_commands, "the list in `pages!` is on the left");
}

#[test]
fn every_page_follows_the_block_conventions() {
    let mistakes: Vec<_> = all_pages()
        .unwrap()
        .into_iter()
        .filter_map(|path| read(&path).err())
        .map(|error| format!("{error:#}"))
        .collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

#[test]
fn every_substitute_check_exists() {
    let mut missing = Vec::new();
    for path in all_pages().unwrap() {
        // Another test reports pages that cannot be read.
        let Ok(page) = read(&path) else { continue };
        for block in &page.blocks {
            let Kind::NotRun { checks } = &block.kind else {
                continue;
            };
            for check in checks {
                if let Err(error) = reference::ensure_exists(check) {
                    missing.push(format!("{path}:{}: {check}: {error:#}", block.line));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

fn read(path: &str) -> Result<Page> {
    let text = fs::read_to_string(workspace().join(path)).with_context(|| path.to_owned())?;
    Page::parse(path, &text)
}

/// Returns the paths of the Markdown files in the root and in `docs/`, sorted.
fn all_pages() -> Result<Vec<String>> {
    let mut pages = Vec::new();
    collect_pages("", false, &mut pages)?;
    collect_pages("docs/", true, &mut pages)?;
    pages.sort_unstable();
    Ok(pages)
}

fn collect_pages(dir: &str, deep: bool, pages: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(workspace().join(dir))? {
        let entry = entry?;
        let path = format!("{dir}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if deep {
                collect_pages(&format!("{path}/"), deep, pages)?;
            }
        } else if Path::new(&path)
            .extension()
            .is_some_and(|extension| extension == "md")
        {
            pages.push(path);
        }
    }
    Ok(())
}
