//! A Markdown page as its fenced blocks, with the comments before them.

mod comment;
mod tests;

use anyhow::{Result, bail};

use self::comment::Comment;

/// Other info strings for commands. The test refuses them, because it only runs `sh`.
const OTHER_SHELLS: [&str; 5] = ["bash", "shell", "console", "zsh", "shell-session"];

#[derive(Debug, PartialEq)]
pub(super) struct Page {
    /// The path from the root of the repository.
    pub path: String,
    pub blocks: Vec<Block>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Block {
    /// The number of the line with the opening fence.
    pub line: usize,
    /// The content, without the indentation of the fence.
    pub text: String,
    pub kind: Kind,
}

#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// Commands that run.
    Run { prints: Vec<String>, exits: i32 },
    /// Commands that are checked by something else.
    NotRun { checks: Vec<String> },
    /// A file for later commands.
    File { name: String },
    /// Anything else.
    Shown,
}

impl Kind {
    pub(super) fn runs(&self) -> bool {
        matches!(self, Self::Run { .. })
    }
}

/// A fence that is open.
struct Fence<'a> {
    line: usize,
    indentation: usize,
    /// The characters of the fence itself.
    marker: &'a str,
    kind: Kind,
    content: Vec<&'a str>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// All mistakes, each with its line.
    pub(super) fn parse(path: &str, text: &str) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut mistakes = Vec::new();
        let mut comments: Vec<Comment> = Vec::new();
        let mut fence: Option<Fence> = None;

        let mut lines = text.lines().zip(1..);
        while let Some((text, line)) = lines.next() {
            if let Some(mut open) = fence.take() {
                if closes(text, open.marker) {
                    blocks.push(open.close());
                } else {
                    open.content.push(text);
                    fence = Some(open);
                }
            } else if let Some((marker, info)) = opening(text) {
                let kind = kind(info, &std::mem::take(&mut comments));
                fence = Some(Fence {
                    line,
                    indentation: text.len() - text.trim_start().len(),
                    marker,
                    kind: kind.unwrap_or_else(|error| {
                        mistakes.push((line, error.to_string()));
                        Kind::Shown
                    }),
                    content: Vec::new(),
                });
            } else if text.trim_start().starts_with("<!--") {
                match Comment::read(line, text, lines.by_ref().map(|(text, _)| text)) {
                    Ok(comment) => comments.extend(comment),
                    Err(error) => mistakes.push((line, error.to_string())),
                }
            } else {
                for comment in comments.drain(..) {
                    let message = format!("`{}` is not directly before a block", comment.name());
                    mistakes.push((comment.line, message));
                }
                if is_quoted_fence(text) {
                    mistakes.push((line, "a block in a quotation".to_owned()));
                }
            }
        }

        if let Some(open) = fence {
            mistakes.push((open.line, "the block does not end".to_owned()));
        }
        if let Some(comment) = comments.first() {
            mistakes.push((comment.line, "no block follows".to_owned()));
        }
        if !mistakes.is_empty() {
            let mistakes = mistakes
                .iter()
                .map(|(line, message)| format!("{path}:{line}: {message}"));
            bail!(mistakes.collect::<Vec<_>>().join("\n"));
        }
        Ok(Self {
            path: path.to_owned(),
            blocks,
        })
    }
}

impl Fence<'_> {
    fn close(self) -> Block {
        let unindented = |line: &str| {
            let blanks = line.len() - line.trim_start().len();
            format!("{}\n", &line[blanks.min(self.indentation)..])
        };
        Block {
            line: self.line,
            text: self.content.into_iter().map(unindented).collect(),
            kind: self.kind,
        }
    }
}

/// Returns the fence and the info string of a line that opens a block.
fn opening(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let mark = line.chars().next().filter(|mark| "`~".contains(*mark))?;
    let info = line.trim_start_matches(mark);
    let marker = &line[..line.len() - info.len()];
    // Inline code may also begin with three backticks.
    (marker.len() >= 3 && !(mark == '`' && info.contains('`'))).then(|| (marker, info.trim()))
}

fn closes(line: &str, marker: &str) -> bool {
    let line = line.trim();
    let mark = marker.chars().next().unwrap_or_default();
    line.len() >= marker.len() && line.chars().all(|c| c == mark)
}

/// Returns true if a line opens a block within a quotation, whose commands would not run.
fn is_quoted_fence(line: &str) -> bool {
    let line = line.trim_start();
    let text = line.trim_start_matches(['>', ' ']);
    line.starts_with('>') && opening(text).is_some()
}

/// Returns the block's kind, from the info string and the comments before it.
fn kind(info: &str, comments: &[Comment]) -> Result<Kind> {
    match info.split_whitespace().next().unwrap_or_default() {
        "" => bail!("a block without an info string, such as `text`"),
        "sh" => comment::commands(comments),
        other if OTHER_SHELLS.contains(&other) => bail!("commands are `sh`, not `{other}`"),
        _ => comment::content(comments),
    }
}
