//! Text from users: the allowed characters, the form in which it is compared and stored, and how
//! misleading characters are displayed. Names, email addresses and descriptions of all resources
//! are checked here.
//!
//! Names and email addresses are compared and stored in NFC. Control and format characters, line
//! and paragraph separators, invisible characters and those that Unicode does not define are
//! refused; the normal form of the last could change. Exceptions are the joiners (ZWNJ, ZWJ)
//! between letters, where Persian and Indic scripts need them, and a variation selector after a
//! symbol or an ideograph. Letters that only look like others (а and a) are not refused.

use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::random::ID_KINDS;

/// The maximum number of characters in a name.
pub const MAX_NAME_LEN: usize = 100;

/// The maximum number of characters in a description.
pub const MAX_DESCRIPTION_LEN: usize = 500;

/// The maximum length of an email address in bytes, by RFC 5321 and its erratum 1690.
pub const MAX_EMAIL_LEN: usize = 254;

/// Returns the name as it is stored: in NFC, without surrounding blanks.
///
/// # Errors
/// Fails with the reason, which continues a sentence that starts with the field's name.
pub fn name(text: &str) -> Result<String, String> {
    let name = normalized_name(text);
    if !(1..=MAX_NAME_LEN).contains(&name.chars().count()) {
        return Err(format!("must have 1 to {MAX_NAME_LEN} characters"));
    }
    ensure_plain(&name, |_| false)?;
    if has_form_of_id(&name) {
        return Err("must not have the form of an id, such as `key_` and letters".to_owned());
    }
    Ok(name)
}

/// Returns the email address as it is stored: in NFC and lower case, without surrounding blanks.
///
/// # Errors
/// Fails with the reason, which continues a sentence that starts with the field's name.
pub fn email(text: &str) -> Result<String, String> {
    let email = normalized_email(text);
    let (user, host) = email.split_once('@').unwrap_or_default();
    if user.is_empty()
        || host.is_empty()
        || host.contains('@')
        || email.len() > MAX_EMAIL_LEN
        || email.chars().any(char::is_whitespace)
    {
        return Err(format!(
            "must be an email address of at most {MAX_EMAIL_LEN} bytes"
        ));
    }

    ensure_plain(&email, |_| false)?;
    Ok(email)
}

/// Returns the description as it is stored: in NFC, with `
/// ` as line break.
///
/// # Errors
/// Fails with the reason, which continues a sentence that starts with the field's name.
pub fn description(text: &str) -> Result<String, String> {
    let text = nfc(&text.replace("\r\n", "\n")).into_owned();
    if text.chars().count() > MAX_DESCRIPTION_LEN {
        return Err(format!(
            "must have at most {MAX_DESCRIPTION_LEN} characters"
        ));
    }
    ensure_plain(&text, is_layout)?;
    Ok(text)
}

/// Returns the form in which names are compared. Accepts any text.
pub fn normalized_name(text: &str) -> String {
    nfc(text.trim()).into_owned()
}

/// Returns the form in which email addresses are compared. Accepts any text.
pub fn normalized_email(text: &str) -> String {
    // Lower case first: some of its letters can be composed only then.
    nfc(&nfc(text.trim()).to_lowercase()).into_owned()
}

/// Returns the text in Unicode's normalization form C.
pub fn nfc(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

/// Returns whether the text could be an id: the prefix of a kind of id, such as `key_`, followed by
/// letters and digits. Parameters that accept an id or a name interpret such a text as an id.
pub fn has_form_of_id(text: &str) -> bool {
    let Some((kind, rest)) = text.split_once('_') else {
        return false;
    };
    ID_KINDS.contains(&kind)
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Returns whether every character of the text is allowed in a name.
pub fn is_plain(text: &str) -> bool {
    faults(text).all(|(_, fault)| fault.is_none())
}

/// Returns the text with Rust's escapes, such as `\u{202e}` and `
/// `, for characters that a name may not have.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, |_| false)
}

/// Returns the text like [`escaped`], but keeps its line breaks.
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, |c| is_layout(c) || c == '\r')
}

fn escaped_but(text: &str, allowed: fn(char) -> bool) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }

    let mut out = String::with_capacity(text.len());
    for (c, fault) in faults(text) {
        if fault.is_some() && !allowed(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }

    Cow::Owned(out)
}

/// Returns whether a character is a control character that descriptions may contain.
fn is_layout(c: char) -> bool {
    matches!(c, '\n' | '\t')
}

fn ensure_plain(text: &str, allowed: fn(char) -> bool) -> Result<(), String> {
    let found =
        faults(text).find_map(|(c, fault)| fault.filter(|_| !allowed(c)).map(|fault| (c, fault)));
    let Some((c, fault)) = found else {
        return Ok(());
    };
    Err(format!(
        "must not have {}, such as U+{:04X} here",
        fault.plural(),
        u32::from(c)
    ))
}

/// The reason why a character is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A control character.
    Control,
    /// A format character, or a separator of lines or paragraphs.
    Format,
    /// A character without a visible form.
    Invisible,
    /// A character for private use.
    PrivateUse,
    /// A character that Unicode does not define.
    Unassigned,
}

impl Fault {
    fn plural(self) -> &'static str {
        match self {
            Self::Control => "control characters",
            Self::Format => "format characters",
            Self::Invisible => "invisible characters",
            Self::PrivateUse => "private characters",
            Self::Unassigned => "characters that Unicode does not define",
        }
    }
}

/// Returns each character with the reason why it is refused in its position, if it is.
pub fn faults(text: &str) -> impl Iterator<Item = (char, Option<Fault>)> {
    let mut before = None;
    let mut characters = text.chars().peekable();
    std::iter::from_fn(move || {
        let c = characters.next()?;
        let fault = fault(before, c, characters.peek().copied());
        before = Some(c);
        Some((c, fault))
    })
}

fn fault(before: Option<char>, c: char, after: Option<char>) -> Option<Fault> {
    if matches!(c, ' '..='~') {
        return None;
    }
    if is_variation_selector(c) {
        return (!before.is_some_and(has_variations)).then_some(Fault::Invisible);
    }

    match c.general_category() {
        GeneralCategory::Format if is_joiner(c) => {
            let joins = before.is_some_and(is_of_word) && after.is_some_and(is_of_word);
            (!joins).then_some(Fault::Format)
        }
        GeneralCategory::Format
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Some(Fault::Format),
        GeneralCategory::Control | GeneralCategory::Surrogate => Some(Fault::Control),
        GeneralCategory::PrivateUse => Some(Fault::PrivateUse),
        GeneralCategory::Unassigned => Some(Fault::Unassigned),
        _ => is_invisible(c).then_some(Fault::Invisible),
    }
}

/// Returns whether the character is a joiner, ZWNJ or ZWJ.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Returns whether the character is a letter, or a mark on one: in Indic scripts a joiner comes
/// before or after a mark.
fn is_of_word(c: char) -> bool {
    matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark
    ) && !is_invisible(c)
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Returns whether fonts have several forms of the character: symbols (⚠ and ⚠️), ideographs and
/// Mongolian letters.
fn has_variations(c: char) -> bool {
    let category = c.general_category();
    matches!(
        category,
        GeneralCategory::OtherSymbol | GeneralCategory::MathSymbol | GeneralCategory::OtherLetter
    ) && !is_invisible(c)
}

/// Returns whether the character is a letter, mark or symbol without a visible form.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{34f}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{ffa0}'
    ) || is_variation_selector(c)
}

#[cfg(test)]
mod tests;
