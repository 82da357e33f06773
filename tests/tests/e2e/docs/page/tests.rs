//! The rules for pages.

use super::{Block, Kind, Page};

fn blocks(text: &str) -> Vec<Block> {
    Page::parse("page.md", text).unwrap().blocks
}

fn kind(text: &str) -> Kind {
    let blocks = blocks(text);
    let [block] = blocks.try_into().unwrap();
    block.kind
}

fn mistakes(text: &str) -> String {
    Page::parse("page.md", text).unwrap_err().to_string()
}

fn run(prints: &[&str], exits: i32) -> Kind {
    Kind::Run {
        prints: prints.iter().map(|&text| text.to_owned()).collect(),
        exits,
    }
}

#[test]
fn commands_exit_with_zero_by_default() {
    let found = blocks("# Title\n\n```sh\necho one\n\n  echo two\n```\ntext\n");
    let expected = Block {
        line: 3,
        text: "echo one\n\n  echo two\n".to_owned(),
        kind: run(&[], 0),
    };
    assert_eq!(found, [expected]);
}

#[test]
fn comments_state_output_and_exit_code() {
    let text =
        "<!-- prints: HTTP/1.1 401 -->\n<!-- prints: a: b -->\n<!-- exits: 3 -->\n```sh\nx\n```\n";
    assert_eq!(kind(text), run(&["HTTP/1.1 401", "a: b"], 3));
}

#[test]
fn comment_may_span_lines() {
    let text =
        "<!-- not run: needs Kong;\n     checked by a.rs::one, make run -->\n```sh\nx\n```\n";
    let checks = vec!["a.rs::one".to_owned(), "make run".to_owned()];
    assert_eq!(kind(text), Kind::NotRun { checks });
}

#[test]
fn other_languages_are_shown_or_saved() {
    assert_eq!(kind("```json\n{}\n```\n"), Kind::Shown);
    let name = "conf/envoy.yaml".to_owned();
    assert_eq!(
        kind("<!-- file: conf/envoy.yaml -->\n```yaml\na: 1\n```\n"),
        Kind::File { name }
    );
}

#[test]
fn block_in_a_list_loses_its_indentation() {
    let found = blocks("1. First\n\n   ```sh\n   if x\n     y\n\n  z\n   ```\n");
    assert_eq!(found[0].text, "if x\n  y\n\nz\n");
}

#[test]
fn longer_fence_holds_shorter_ones() {
    let found = blocks("````text\n```sh\nx\n```\n<!-- exits: 1 -->\n````\n~~~sh\ny\n~~~\n");
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].text, "```sh\nx\n```\n<!-- exits: 1 -->\n");
    assert_eq!((found[1].line, &found[1].kind), (7, &run(&[], 0)));
}

#[test]
fn other_comments_are_text() {
    let text = "```sh` is inline\n<!-- bench:begin -->\n<!-- /settings -->\n<!-- See: this -->\n";
    assert_eq!(blocks(text), []);
}

#[test]
fn mistakes_are_refused() {
    let cases = [
        ("a block names its language", "```\nx\n```\n"),
        (
            "commands of another shell do not evade",
            "```bash\nx\n```\n",
        ),
        (
            "commands in a quotation do not evade",
            "> ```sh\n> x\n> ```\n",
        ),
        ("a block ends", "```sh\nx\n"),
        ("a comment ends", "<!-- prints: x\n"),
        (
            "a comment is one that exists",
            "<!-- print: x -->\n```sh\nx\n```\n",
        ),
        (
            "a comment stands directly before its block",
            "<!-- prints: x -->\n\n```sh\nx\n```\n",
        ),
        ("a comment has a block", "text\n<!-- prints: x -->\n"),
        (
            "an exit code is a number",
            "<!-- exits: one -->\n```sh\nx\n```\n",
        ),
        (
            "there is one exit code",
            "<!-- exits: 1 -->\n<!-- exits: 2 -->\n```sh\nx\n```\n",
        ),
        (
            "a block that is not run has a check",
            "<!-- not run: needs Kong -->\n```sh\nx\n```\n",
        ),
        (
            "a block that is not run prints nothing",
            "<!-- prints: x -->\n<!-- not run: a; checked by make run -->\n```sh\nx\n```\n",
        ),
        (
            "commands are not saved",
            "<!-- file: a -->\n```sh\nx\n```\n",
        ),
        (
            "content prints nothing",
            "<!-- prints: a -->\n```yaml\nx\n```\n",
        ),
        (
            "a file is below the directory",
            "<!-- file: ../a -->\n```yaml\nx\n```\n",
        ),
        (
            "a file is relative",
            "<!-- file: /etc/a -->\n```yaml\nx\n```\n",
        ),
    ];
    for (rule, text) in cases {
        let parsed = Page::parse("page.md", text);
        assert!(parsed.is_err(), "{rule}: {parsed:?}");
    }
}

#[test]
fn mistakes_are_reported_together_with_lines() {
    let text = "# Title\n```\nx\n```\n<!-- exits: 1 -->\n\n<!-- shows: a -->\n```sh\nx\n```\n";
    let reported = mistakes(text);
    let places: Vec<_> = reported
        .lines()
        .map(|line| line.split(": ").next().unwrap_or_default())
        .collect();
    assert_eq!(
        places,
        ["page.md:2", "page.md:5", "page.md:7"],
        "{reported}"
    );
}
