//! The tests and functions that documents name: as checks that replace running a block, and as
//! `file.rs::function` in the text.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use latchkey_tests::workspace;

/// Ensures that a check exists: a test `PATH::NAME`, or a target `make NAME`.
///
/// # Errors
/// Fails when it does not exist, or has another form.
pub(super) fn ensure_exists(check: &str) -> Result<()> {
    if let Some(target) = check.strip_prefix("make ") {
        let makefile = read("Makefile")?;
        ensure!(
            has_target(&makefile, target),
            "the Makefile has no such target"
        );
    } else if let Some((path, name)) = check.split_once("::") {
        ensure!(has_test(&read(path)?, name), "the file has no such test");
    } else {
        bail!("a check is PATH::TEST or make TARGET");
    }
    Ok(())
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(workspace().join(path)).with_context(|| path.to_owned())
}

fn has_target(makefile: &str, target: &str) -> bool {
    let targets = makefile
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(targets, _)| !targets.starts_with(['\t', '#', '.']));
    targets
        .flat_map(|(targets, _)| targets.split_whitespace())
        .any(|name| name == target)
}

/// Returns true if the source has a function with that name that an attribute makes a test.
fn has_test(source: &str, name: &str) -> bool {
    let name = name.rsplit("::").next().unwrap_or(name);
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            continue;
        }
        let function = line.strip_prefix("async ").unwrap_or(line);
        let function = function.strip_prefix("fn ").unwrap_or_default();
        if is_test && function.split('(').next() == Some(name) {
            return true;
        }
        is_test &= line.starts_with("//");
    }
    false
}

#[test]
fn reference_needs_a_function_with_test_attribute() {
    let source = "#[test]\n#[ignore]\nfn one() {}\n\nfn two() {}\n\n#[tokio::test(flavor = \"a\")]\n// Why.\nasync fn three() {}\n";
    let tests = ["one", "two", "three", "tests::three", "thre"].map(|name| has_test(source, name));
    assert_eq!(tests, [true, false, true, true, false]);
}

#[test]
fn reference_to_make_needs_a_target() {
    let makefile = ".PHONY: run\nrun: build ## Run\n\techo a: b\nA := b\nneed-a need-b: x\n";
    let targets = ["run", "need-b", "build", "echo"].map(|name| has_target(makefile, name));
    assert_eq!(targets, [true, true, false, false]);
}

/// Returns the text of each file below `directory` with the extension, by its path.
fn text_files(directory: &Path, extension: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(text_files(&path, extension));
        } else if path.extension() == Some(OsStr::new(extension)) {
            let text = fs::read_to_string(&path).unwrap();
            found.insert(path.to_str().unwrap().to_owned(), text);
        }
    }
    found
}

/// Returns the `file.rs::function` references of a document, which are in backquotes.
fn references(document: &str) -> impl Iterator<Item = (&str, &str)> {
    document
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(|code| code.split_once(".rs::"))
}

/// Functions that are no tests may be named as well.
#[test]
fn tests_named_in_documents_exist() {
    let root = workspace();
    let sources = text_files(root, "rs");
    let exists = |file: &str, function: &str| {
        let (file, function) = (format!("/{file}.rs"), format!("fn {function}("));
        let mut named = sources.iter().filter(|(path, _)| path.ends_with(&file));
        named.any(|(_, text)| text.contains(&function))
    };
    let mut checked = 0;
    for (path, document) in text_files(root, "md") {
        for (file, function) in references(&document) {
            assert!(
                exists(file, function),
                "{path} names {file}.rs::{function}, which does not exist"
            );
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} references are found");
}
