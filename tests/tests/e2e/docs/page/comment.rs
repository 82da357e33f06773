//! The comments before a block.

use anyhow::{Context as _, Result, bail, ensure};

use super::Kind;

/// A comment of the form `<!-- name: value -->`.
#[derive(Debug, PartialEq)]
pub(super) struct Comment {
    pub line: usize,
    says: Says,
}

#[derive(Debug, PartialEq)]
enum Says {
    Prints(String),
    Exits(i32),
    NotRun(Vec<String>),
    File(String),
}

impl Comment {
    /// Reads the comment that begins on `first`, and takes further lines until it ends. Returns
    /// none for a comment of another form.
    ///
    /// # Errors
    /// Fails when it does not end, its name is unknown or its value is malformed.
    pub(super) fn read<'a>(
        line: usize,
        first: &str,
        mut rest: impl Iterator<Item = &'a str>,
    ) -> Result<Option<Self>> {
        let mut text = first.trim().to_owned();
        while !text.contains("-->") {
            let next = rest.next().context("the comment does not end")?;
            text = format!("{text} {}", next.trim());
        }
        let text = text.trim_start_matches("<!--");
        let (text, after) = text.split_once("-->").unwrap_or((text, ""));
        let Some((name, value)) = text.trim().split_once(": ") else {
            return Ok(None);
        };
        if !name.chars().all(|c| c.is_ascii_lowercase() || c == ' ') {
            return Ok(None);
        }
        ensure!(after.trim().is_empty(), "text after the comment");

        let value = value.trim();
        let says = match name {
            "prints" => Says::Prints(value.to_owned()),
            "exits" => Says::Exits(value.parse().context("`exits` takes a number")?),
            "not run" => Says::NotRun(checks(value)?),
            "file" => Says::File(file_name(value)?),
            _ => bail!("there is no comment `{name}:`"),
        };
        Ok(Some(Self { line, says }))
    }

    /// The comment's name.
    pub(super) fn name(&self) -> &'static str {
        match self.says {
            Says::Prints(_) => "prints",
            Says::Exits(_) => "exits",
            Says::NotRun(_) => "not run",
            Says::File(_) => "file",
        }
    }
}

/// Returns the kind of a block of commands, from its comments.
pub(super) fn commands(comments: &[Comment]) -> Result<Kind> {
    let mut prints = Vec::new();
    let mut exits = None;
    for comment in comments {
        match &comment.says {
            Says::Prints(text) => prints.push(text.clone()),
            Says::Exits(code) => {
                ensure!(exits.replace(*code).is_none(), "`exits` stands twice");
            }
            Says::NotRun(checks) => {
                ensure!(
                    comments.len() == 1,
                    "another comment with `not run`, which takes none"
                );
                return Ok(Kind::NotRun {
                    checks: checks.clone(),
                });
            }
            Says::File(_) => bail!("`file` is for blocks of other languages than `sh`"),
        }
    }
    Ok(Kind::Run {
        prints,
        exits: exits.unwrap_or_default(),
    })
}

/// Returns the kind of a block of another language, from its comments.
pub(super) fn content(comments: &[Comment]) -> Result<Kind> {
    match comments {
        [] => Ok(Kind::Shown),
        [
            Comment {
                says: Says::File(name),
                ..
            },
        ] => Ok(Kind::File { name: name.clone() }),
        _ => bail!("only one `file` may stand before a block that is not `sh`"),
    }
}

fn checks(value: &str) -> Result<Vec<String>> {
    let (reason, checks) = value
        .rsplit_once("; checked by ")
        .context("`not run` takes REASON; checked by CHECK")?;
    ensure!(!reason.trim().is_empty(), "`not run` without a reason");
    Ok(checks
        .split(", ")
        .map(|check| check.trim().to_owned())
        .collect())
}

/// Accepts relative paths below the working directory that a shell takes as they are.
fn file_name(value: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let part_is_plain = |part: &str| !part.is_empty() && part != ".." && part.chars().all(plain);
    ensure!(
        value.split('/').all(part_is_plain),
        "`file` takes a relative path of letters, digits and ._-/"
    );
    Ok(value.to_owned())
}
