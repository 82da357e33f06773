//! The rules for running a page's blocks, without a demo.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use latchkey_tests::eventually;

use super::{BLOCK, Directory, run_blocks};
use crate::docs::page::Page;

async fn run_in(directory: &Directory, text: &str, limit: Duration) -> Result<(), String> {
    let page = Page::parse("page.md", text).unwrap();
    run_blocks(&page, directory, &[("NAME", "value")], limit)
        .await
        .map_err(|error| format!("{error:#}"))
}

async fn run(text: &str) -> Result<(), String> {
    run_in(&Directory::create().unwrap(), text, BLOCK).await
}

#[tokio::test]
async fn blocks_share_variables_functions_and_directory() {
    let text = "\
```sh
export A=\"$NAME\"; hello() { echo \"hello $1\"; }
mkdir sub; cd sub
```
<!-- file: conf/a.yaml -->
```yaml
key: 1
```
<!-- prints: value hello x -->
<!-- prints: key: 1 -->
<!-- prints: /sub -->
```sh
echo $A $(hello x); cat conf/a.yaml; pwd; test \"$HOME\" = \"${PWD%/sub}\"
```
<!-- exits: 127 -->
```sh
jq
```
```sh
latchkey --version; cat; test -z \"${LATCHKEY_URL:-}\"
```
";
    run(text).await.unwrap();
}

#[tokio::test]
async fn block_that_exits_returns_its_first_error() {
    let text = "\
<!-- prints: before -->
<!-- exits: 3 -->
```sh
fail() { (exit 3); echo inside; }
echo before; cd /tmp
fail
A=set
```
<!-- prints: /tmp not set -->
```sh
echo $PWD ${A:-not set}
```
";
    run(text).await.unwrap();
}

#[tokio::test]
async fn failures_name_line_command_and_output() {
    let cases = [
        (
            "the first error ends a block",
            "# Title\n\n```sh\necho before\ncat missing\necho after\n```\n",
            &[
                "page.md:3: the block ended with exit code 1, not 0",
                "at line 5: cat missing",
                "before",
                "No such file",
            ][..],
        ),
        (
            "an error in a pipe counts",
            "```sh\nfalse | cat\n```\n",
            &["page.md:1: ", "at line 2: "],
        ),
        (
            "an error in a function counts",
            "```sh\nf() {\n  false\n  echo\n}\n```\n```sh\nf\n```\n",
            &["page.md:7: ", "at line 3: false"],
        ),
        (
            "a variable that is not set is an error",
            "```sh\necho $MISSING\n```\n",
            &["page.md:1: ", "page.md: line 2: MISSING: unbound variable"],
        ),
        (
            "bash reports the lines of the page",
            "text\n```sh\ntrue\nmissing-command\n```\n",
            &["page.md: line 4: missing-command: command not found"],
        ),
        (
            "options of one block do not weaken the next",
            "```sh\nset +e +u\n```\n```sh\nfalse\ntrue\n```\n",
            &["page.md:4: the block ended with exit code 1"],
        ),
        (
            "an expected exit code is needed",
            "<!-- exits: 2 -->\n```sh\ntrue\n```\n",
            &["page.md:2: the block ended with exit code 0, not 2"],
        ),
        (
            "an expected text is needed, as often as it stands there",
            "<!-- prints: one -->\n<!-- prints: one -->\n```sh\necho one\n```\n",
            &["the output has \"one\" 1 times, not 2 times"],
        ),
        (
            "nothing runs after a block that has ended the shell",
            "```sh\nexit 0\n```\n```sh\necho\n```\n",
            &["page.md:1: the block ended the shell"],
        ),
    ];
    for (rule, text, expected) in cases {
        let report = run(text).await.expect_err(rule);
        for part in expected {
            assert!(report.contains(part), "{rule}: {part:?} in {report}");
        }
    }
}

#[tokio::test]
async fn endless_block_is_reported_with_its_output() {
    let directory = Directory::create().unwrap();
    let text = "```sh\necho waiting; sleep 1000\n```\n";
    let report = run_in(&directory, text, Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(report.contains("the block still runs"), "{report}");
    assert!(report.contains("its output:\n  waiting"), "{report}");
}

#[tokio::test]
async fn background_commands_end_with_the_page() {
    let directory = Directory::create().unwrap();
    let text = "```sh\nsleep 1000 &\necho $! >pid\n```\n";
    run_in(&directory, text, BLOCK).await.unwrap();
    let pid = fs::read_to_string(directory.work().join("pid")).unwrap();
    let ended = eventually(BLOCK, async || {
        let process = Path::new("/proc").join(pid.trim());
        ensure!(!process.exists(), "{} runs", process.display());
        Ok(())
    });
    ended.await.unwrap();
}
