//! Text that people give: which characters it may have, in which form it is compared and stored,
//! and how a character that could mislead is shown. Names, email addresses and descriptions of
//! everything go through here.
//!
//! Names and email addresses are compared and stored in NFC. Refused are control and format
//! characters, line and paragraph separators, characters without a visible form, and those that
//! Unicode does not define: their normal form could change. Exceptions are the joiners (ZWNJ, ZWJ)
//! between letters, where Persian and Indic scripts need them, and a variation selector behind a
//! symbol or an ideograph. Letters that only look like others (а and a) are not refused.

use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};

use crate::random::ID_KINDS;

/// Characters in a name.
pub const MAX_NAME_LEN: usize = 100;

/// Characters in a description.
pub const MAX_DESCRIPTION_LEN: usize = 500;

/// Bytes in an email address: RFC 5321, by way of its erratum 1690.
pub const MAX_EMAIL_LEN: usize = 254;

/// Returns the name as it is stored: in NFC, without the blanks around it.
///
/// # Errors
/// The reason, which goes on from the name of the field.
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

/// Returns the email address as it is stored: in NFC and lower case, without the blanks around it.
///
/// # Errors
/// The reason, which goes on from the name of the field.
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

/// Returns the description as it is stored: in NFC, with line breaks of one character.
///
/// # Errors
/// The reason, which goes on from the name of the field.
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

/// Returns the form in which names are compared, of any text.
pub fn normalized_name(text: &str) -> String {
    nfc(text.trim()).into_owned()
}

/// Returns the form in which email addresses are compared, of any text.
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

/// Returns whether the text could be taken for an id: `key_`, or the beginning of another kind of
/// id, and letters and digits. Whatever takes an id or a name takes such a text for an id.
pub fn has_form_of_id(text: &str) -> bool {
    let Some((kind, rest)) = text.split_once('_') else {
        return false;
    };
    ID_KINDS.contains(&kind)
        && !rest.is_empty()
        && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Returns whether each character of the text may stand in a name.
pub fn is_plain(text: &str) -> bool {
    faults(text).all(|(_, fault)| fault.is_none())
}

/// Returns the text with each character that a name may not have as Rust writes it, such as
/// `\u{202e}` and `\n`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, |_| false)
}

/// Returns the text as [`escaped`] does, on as many lines as it has.
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

/// What descriptions may have although it is a control character.
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

/// Why a character is refused.
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

/// Returns each character with the reason why it is refused where it stands, if it is.
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

/// ZWNJ and ZWJ.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// Returns whether it is a letter, or a mark on one: in Indic scripts a joiner stands behind or
/// before a mark.
fn is_of_word(c: char) -> bool {
    matches!(
        c.general_category_group(),
        GeneralCategoryGroup::Letter | GeneralCategoryGroup::Mark
    ) && !is_invisible(c)
}

fn is_variation_selector(c: char) -> bool {
    matches!(c, '\u{180b}'..='\u{180d}' | '\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Returns whether fonts have several forms of it: symbols (⚠ and ⚠️), ideographs and Mongolian
/// letters.
fn has_variations(c: char) -> bool {
    let category = c.general_category();
    matches!(
        category,
        GeneralCategory::OtherSymbol | GeneralCategory::MathSymbol | GeneralCategory::OtherLetter
    ) && !is_invisible(c)
}

/// Letters, marks and symbols of which nothing is seen.
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
