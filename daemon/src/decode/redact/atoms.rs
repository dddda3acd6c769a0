//! A payload as the characters that it means, however often it was escaped on its way.
//!
//! In: text. Out: atoms: one character each, `\"`, `\\\"`, `\n`, `\u0026`, `%3D` and `%253D` among them, with the place
//! in the text. Nothing is judged here, and nothing is an error: what is no escape means itself.

/// One character as it is meant, and where it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Atom {
    start: u32,
    end: u32,
    pub(super) meaning: char,
    /// Backslashes before it, or how often it was percent-encoded: how deep in strings in strings it stands.
    pub(super) depth: u16,
    pub(super) percent: bool,
}

impl Atom {
    /// First byte in the text.
    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    /// The byte behind it.
    pub(super) fn end(self) -> usize {
        self.end as usize
    }

    pub(super) fn is_quote(self) -> bool {
        matches!(self.meaning, '"' | '\'')
    }

    /// Part of a key, a token or a field's name. An invalid byte, replaced, tears none of them apart.
    pub(super) fn is_word(self) -> bool {
        self.meaning.is_ascii_alphanumeric()
            || matches!(
                self.meaning,
                '_' | '-' | '.' | '/' | '+' | '~' | '%' | '*' | char::REPLACEMENT_CHARACTER
            )
    }

    pub(super) fn is_space(self) -> bool {
        matches!(self.meaning, ' ' | '\t' | '\n' | '\r')
    }
}

/// Everything in `text`, in order and without a gap. It is shorter than 4 GiB.
pub(super) fn atoms(text: &str) -> Vec<Atom> {
    let mut atoms = Vec::with_capacity(text.len());
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        let rest = &text[start..];
        let (len, meaning, depth) = match first {
            '\\' => escape(rest),
            '%' => percent(rest),
            plain => (plain.len_utf8(), plain, 0),
        };
        atoms.push(Atom {
            start: start as u32,
            end: (start + len) as u32,
            meaning,
            depth: u16::try_from(depth).unwrap_or(u16::MAX),
            percent: first == '%' && depth > 0,
        });
        start += len;
    }
    atoms
}

/// Backslashes and what they escape: length, meaning, how many there are.
fn escape(rest: &str) -> (usize, char, usize) {
    let slashes = rest.bytes().take_while(|b| *b == b'\\').count();
    let Some(escaped) = rest[slashes..].chars().next() else { return (slashes, '\\', 0) };
    let len = slashes + escaped.len_utf8();
    match escaped {
        'n' => (len, '\n', slashes),
        'r' => (len, '\r', slashes),
        't' => (len, '\t', slashes),
        '"' | '\'' | '/' => (len, escaped, slashes),
        'u' => match code_point(&rest[slashes + 1..]) {
            Some(meaning) => (len + 4, meaning, slashes),
            None => (slashes, '\\', 0),
        },
        _ => (slashes, '\\', 0),
    }
}

fn code_point(rest: &str) -> Option<char> {
    let digits = rest.get(..4)?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}

/// `%3D`, also encoded again and again: `%253D`, `%25253D`.
fn percent(rest: &str) -> (usize, char, usize) {
    let mut at = 1;
    let mut depth = 1;
    while rest[at..].starts_with("25")
        && rest[at + 2..].bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2
    {
        at += 2;
        depth += 1;
    }
    match rest.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
        Some(byte) if byte.is_ascii() => (at + 2, char::from(byte), depth),
        Some(_) | None => (1, '%', 0),
    }
}
