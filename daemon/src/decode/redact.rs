//! Payloads that nobody could decode, made fit to be kept: whatever looks like a secret is masked.
//!
//! In: any bytes. Out: at most QUARANTINE_PAYLOAD_BYTES_MAX bytes of text. It errs on the side of masking;
//! what it must never do is let a key, a token, a cookie or a password through because the JSON is broken, cut off,
//! or stands in a string in a string. The text is read as what it means, see [`atoms`]; nothing is parsed.

mod atoms;
mod forms;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;

use crate::limits::QUARANTINE_PAYLOAD_BYTES_MAX;
use atoms::Atom;
use forms::Context;

/// What stands in the place of a secret.
const MASK: &str = "[masked]";
/// Atoms between a name and its separator: a quote, and what is left of a damaged one.
const CLOSING_MAX: usize = 3;
/// Atoms around a value in which the name of its pair is looked for.
const PAIR_REACH: usize = 600;
/// Schemes of addresses in which digits behind a colon are mostly a port.
const HAVE_PORTS: [&str; 4] = ["http", "https", "ws", "wss"];
/// Atoms in which an address's or a key's other end is looked for.
const AHEAD: usize = 600;

/// `payload` as text (invalid UTF-8 replaced), cut, secrets masked.
pub fn redact(payload: &[u8]) -> String {
    Unmasked::of(payload).masked()
}

/// What is kept of a payload that nobody could decode. Masking costs more than decoding and most rejects are only
/// counted, so it is done for those that leave the process or are written; nothing else can be got out of this.
#[derive(Clone)]
pub struct RejectedPayload(Kept);

#[derive(Clone)]
enum Kept {
    Unmasked(Unmasked),
    Masked(String),
}

impl RejectedPayload {
    /// Of a payload as it came.
    pub(super) fn new(payload: &[u8]) -> Self {
        Self(Kept::Unmasked(Unmasked::of(payload)))
    }

    /// Of what [`RejectedPayload::masked`] gave before.
    pub fn of_masked(text: String) -> Self {
        Self(Kept::Masked(text))
    }

    /// As [`redact`] gives it.
    pub fn masked(&self) -> Cow<'_, str> {
        match &self.0 {
            Kept::Unmasked(payload) => Cow::Owned(payload.masked()),
            Kept::Masked(text) => Cow::Borrowed(text),
        }
    }
}

impl fmt::Debug for RejectedPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.masked().fmt(f)
    }
}

impl PartialEq for RejectedPayload {
    fn eq(&self, other: &Self) -> bool {
        self.masked() == other.masked()
    }
}

impl Eq for RejectedPayload {}

/// As much of a payload as masking looks at.
#[derive(Clone)]
struct Unmasked {
    /// A secret may be cut in two by the bound: masking sees the text before it is cut to size.
    head: Box<[u8]>,
    goes_on: bool,
    kubernetes: bool,
}

impl Unmasked {
    fn of(payload: &[u8]) -> Self {
        let head = &payload[..payload.len().min(2 * QUARANTINE_PAYLOAD_BYTES_MAX)];
        Self {
            head: head.into(),
            goes_on: head.len() < payload.len(),
            kubernetes: memmem::find(payload, b"apiVersion").is_some(),
        }
    }

    fn masked(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.head);
        if text.contains('\0') {
            // UTF-16, mostly: without them it reads as text, and so do the secrets in it.
            text = text.replace('\0', "").into();
        }
        let mut masked = Masking::new(&text, self.kubernetes).run(self.goes_on);
        masked.truncate(masked.floor_char_boundary(QUARANTINE_PAYLOAD_BYTES_MAX));
        masked.shrink_to_fit();
        masked
    }
}

/// A walk over the text, word by word.
struct Masking<'t> {
    text: &'t str,
    atoms: Vec<Atom>,
    kubernetes: bool,
    out: String,
}

impl<'t> Masking<'t> {
    fn new(text: &'t str, kubernetes: bool) -> Self {
        Self { text, atoms: atoms::atoms(text), kubernetes, out: String::with_capacity(text.len()) }
    }

    /// The whole text masked. `goes_on`: it was cut off, so that its last word is only a part of one.
    fn run(mut self, goes_on: bool) -> String {
        let mut at = 0;
        while let Some(atom) = self.atoms.get(at) {
            if atom.is_word() {
                let end = self.end_of_word(at);
                at = if goes_on && end == self.atoms.len() { self.mask_to(end) } else { self.word(at, end) };
            } else {
                at = self.keep_to(at, at + 1);
            }
        }
        self.out
    }

    /// Deals with a word and what it says of what follows; returns where to go on.
    fn word(&mut self, at: usize, end: usize) -> usize {
        let word = self.meaning(at, end);
        if self.opens_private_key(at, &word) {
            return self.private_key(end);
        }
        if let Some((user, user_end)) = self.user_of_address(end, &word) {
            self.keep_to(at, user);
            return self.mask_to(user_end);
        }
        if let Some(separator) = self.separator(end) {
            if self.is_secret_name(at, &word, separator) {
                let value = self.keep_to(at, self.skip_spaces(separator + 1));
                return self.value(value, separator);
            }
        } else if let Some(quote) = self.partner(at, end, &word) {
            self.keep_to(at, quote);
            return self.value(quote, quote);
        }
        if forms::is_scheme(&word) {
            let credential = self.keep_to(at, self.skip_scheme_end(end));
            let credential_end = self.end_of_credential(credential);
            return if credential_end > credential { self.mask_to(credential_end) } else { credential };
        }
        if forms::looks_secret(&word) { self.mask_to(end) } else { self.keep_to(at, end) }
    }

    /// Whether the field of this name, whose separator is known, holds a secret.
    fn is_secret_name(&self, at: usize, word: &str, separator: usize) -> bool {
        let value = self.atoms.get(self.skip_spaces(separator + 1));
        let context = Context {
            query: self.atoms[separator].meaning == '=',
            number: value.is_some_and(|atom| atom.meaning.is_ascii_digit()),
            kubernetes: self.kubernetes,
        };
        forms::names_secret(word, context) || forms::names_value_of_pair(word) && self.pair_is_secret(at)
    }

    /// `{"name":"x-api-key","value":...}`, in either order: whether a text beside it names a secret.
    fn pair_is_secret(&self, at: usize) -> bool {
        let before =
            self.atoms[..at].iter().rev().take(PAIR_REACH).take_while(|a| !matches!(a.meaning, '{' | '}'));
        let after = self.atoms[at..].iter().take(PAIR_REACH).take_while(|a| !matches!(a.meaning, '{' | '}'));
        let (mut place, last) = (at - before.count(), at + after.count());
        while place < last {
            let end = self.end_of_word(place).max(place + 1);
            if self.is_text(place, end) && forms::names_secret(&self.meaning(place, end), Context::default())
            {
                return true;
            }
            place = end;
        }
        false
    }

    /// A word between quotes that is no field's name.
    fn is_text(&self, at: usize, end: usize) -> bool {
        let quoted =
            at > 0 && self.atoms[at - 1].is_quote() && self.atoms.get(end).is_some_and(|a| a.is_quote());
        quoted && self.separator(end).is_none()
    }

    /// `["authorization","Bearer x"]`: the quote at which the second text opens.
    fn partner(&self, at: usize, end: usize, word: &str) -> Option<usize> {
        if !self.is_text(at, end) || !forms::names_secret(word, Context::default()) {
            return None;
        }
        let comma = self.skip_spaces(end + 1);
        let quote = self.skip_spaces(comma + 1);
        let opens = self.is(comma, ',') && self.atoms.get(quote).is_some_and(|a| a.is_quote());
        (opens && self.separator(self.end_of_text(quote)).is_none()).then_some(quote)
    }

    /// Where the `:` or `=` stands, if the word that ends at `end` is a name.
    fn separator(&self, end: usize) -> Option<usize> {
        let is_closing = |a: &&Atom| a.is_quote() || matches!(a.meaning, '\\' | char::REPLACEMENT_CHARACTER);
        let closing = self.atoms.get(end..)?.iter().take(CLOSING_MAX).take_while(is_closing).count();
        let at = self.skip_spaces(end + closing);
        (self.is(at, ':') || self.is(at, '=')).then_some(at)
    }

    /// Masks the value that starts at `at`. A name that stands where the value ends was taken for its end: the text
    /// before it was cut off, and what follows the name may be a secret too.
    fn value(&mut self, mut at: usize, mut separator: usize) -> usize {
        loop {
            let end = self.one_value(at, separator);
            let Some(next) = self.separator(end) else { return end };
            at = self.keep_to(end, self.skip_spaces(next + 1));
            separator = next;
        }
    }

    /// Masks the value that starts at `at`, whatever its form.
    fn one_value(&mut self, at: usize, separator: usize) -> usize {
        let damaged = |i: usize| self.is(i, '\\') || self.is(i, char::REPLACEMENT_CHARACTER);
        let before_quote = |i: usize| damaged(i) && self.atoms.get(i + 1).is_some_and(|a| a.is_quote());
        let operator = |i: usize| self.is(i, '>') || self.is(i, '=') || self.is(i, ':') || before_quote(i);
        let operator_end = (at..).find(|i| !operator(*i)).unwrap_or(at);
        let at = self.keep_to(at, self.skip_spaces(operator_end));
        let Some(first) = self.atoms.get(at).copied() else { return at };
        if first.is_quote() {
            let inside = self.keep_to(at, at + 1);
            let end = self.end_of_text(at);
            return if end > inside { self.mask_to(end) } else { inside };
        }
        if matches!(first.meaning, '{' | '[') {
            return self.mask_to(self.end_of_tree(at));
        }
        let word_end = self.end_of_word(at);
        if matches!(&*self.meaning(at, word_end), "null" | "true" | "false") {
            return self.keep_to(at, word_end);
        }
        let mut end = self.end_of_bare(at, self.atoms[separator]);
        if forms::is_scheme(&self.meaning(at, end)) {
            end = self.end_of_credential(self.skip_scheme_end(end)).max(end);
        }
        if end > at { self.mask_to(end) } else { at }
    }

    /// The quote that closes the one at `open`, or the end. One that is followed by more text closes nothing.
    fn end_of_text(&self, open: usize) -> usize {
        let Atom { meaning, depth, .. } = self.atoms[open];
        let closes = |i: &usize| {
            let atom = self.atoms[*i];
            atom.meaning == meaning && atom.depth <= depth && self.is_delimited(*i)
        };
        (open + 1..self.atoms.len()).find(closes).unwrap_or(self.atoms.len())
    }

    /// Whether what follows the quote or bracket at `at` can follow the end of a value.
    fn is_delimited(&self, at: usize) -> bool {
        let next = self.atoms.get(at + 1);
        next.is_none_or(|next| {
            next.is_space()
                || matches!(next.meaning, ',' | '}' | ']' | ')' | '>' | ':' | ';' | '&' | '=' | '|')
                || next.is_quote() && next.depth < self.atoms[at].depth.max(1)
        })
    }

    /// Behind the bracket that closes the one at `at`, or the end.
    fn end_of_tree(&self, at: usize) -> usize {
        let (mut i, mut depth) = (at, 0_usize);
        while let Some(atom) = self.atoms.get(i) {
            match atom.meaning {
                '{' | '[' => depth += 1,
                '}' | ']' if depth == 1 => return i + 1,
                '}' | ']' => depth -= 1,
                '"' => i = self.end_of_text(i),
                _ => {}
            }
            i += 1;
        }
        self.atoms.len()
    }

    /// Where a value without quotes ends: in a query string, a header, a number, a connection string.
    fn end_of_bare(&self, at: usize, separator: Atom) -> usize {
        let query = separator.meaning == '=';
        let level = if separator.percent { separator.depth } else { 0 };
        let ends = |i: &usize| {
            let atom = self.atoms[*i];
            if atom.percent && atom.depth > level {
                return false;
            }
            match atom.meaning {
                '"' | '\'' => atom.depth == 0 || self.is_delimited(*i),
                '&' => query,
                '\n' | '\r' => true,
                ' ' | '\t' => query,
                ';' => query && self.member_follows(i + 1, true),
                ',' => self.member_follows(i + 1, query),
                '}' | ']' | ')' | '>' | '<' => self.is_delimited(*i),
                _ => false,
            }
        };
        (at..self.atoms.len()).find(ends).unwrap_or(self.atoms.len())
    }

    /// Whether a quote, the next name or nothing follows. A header's value has names with `=` in it.
    fn member_follows(&self, at: usize, query: bool) -> bool {
        let at = self.skip_spaces(at);
        let Some(next) = self.atoms.get(at) else { return true };
        let name_end = self.end_of_word(at);
        next.is_quote()
            || self.separator(name_end).is_some_and(|s| name_end > at && (query || self.is(s, ':')))
    }

    fn skip_scheme_end(&self, mut at: usize) -> usize {
        while self.atoms.get(at).is_some_and(|a| matches!(a.meaning, ' ' | '\t' | ':' | '=')) {
            at += 1;
        }
        at
    }

    fn end_of_credential(&self, at: usize) -> usize {
        let is_part = |a: &&Atom| a.is_word() || matches!(a.meaning, '=' | ':');
        at + self.atoms[at.min(self.atoms.len())..].iter().take_while(is_part).count()
    }

    /// User and password of an address whose scheme is `word`: `https://user:password@host`, where the password may
    /// hold any character, and Go's `user:password@tcp(host)`.
    fn user_of_address(&self, end: usize, word: &str) -> Option<(usize, usize)> {
        if !self.is(end, ':') {
            return None;
        }
        let addressed = self.is(end + 1, '/') && self.is(end + 2, '/');
        let first = if addressed { end + 3 } else { end + 1 };
        let rest = self.atoms.get(first..)?.iter().take(AHEAD).take_while(|a| !a.is_space() && !a.is_quote());
        let has_ports = HAVE_PORTS.iter().any(|scheme| word.ends_with(scheme));
        let (mut user_end, mut colon, mut password) = (None, false, !addressed);
        for (at, atom) in (first..).zip(rest) {
            match atom.meaning {
                '@' if addressed || self.is_go_address(at + 1) => user_end = Some(at),
                '/' | '?' | '#' if user_end.is_some() || !password => break,
                ':' => colon = true,
                _ => {}
            }
            password |= colon && !(has_ports && (atom.meaning.is_ascii_digit() || atom.meaning == ':'));
        }
        user_end.map(|user_end| (first, user_end))
    }

    fn is_go_address(&self, at: usize) -> bool {
        let end = self.end_of_word(at);
        self.is(end, '(') && matches!(&*self.meaning(at, end), "tcp" | "unix" | "tcp6")
    }

    /// Whether the first line of a private key in PEM stands here, its blanks escaped or not.
    fn opens_private_key(&self, at: usize, word: &str) -> bool {
        word.contains("BEGIN") && {
            let head = self.meaning(at, (at + 64).min(self.atoms.len()));
            head.contains("PRIVATE") && head.contains("KEY")
        }
    }

    /// Up to the line that ends it, or the end.
    fn private_key(&mut self, word_end: usize) -> usize {
        let start = self.atoms[word_end - 1].end();
        let end = self.text[start..].find("-----END").map_or(self.text.len(), |found| start + found);
        self.out.push_str("-----BEGIN ");
        self.mask_to(self.atoms.partition_point(|a| a.start() < end))
    }

    fn end_of_word(&self, at: usize) -> usize {
        let rest = self.atoms.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|a| a.is_word()).count()
    }

    fn skip_spaces(&self, at: usize) -> usize {
        let rest = self.atoms.get(at..).unwrap_or_default();
        at + rest.iter().take_while(|a| a.is_space()).count()
    }

    fn is(&self, at: usize, meaning: char) -> bool {
        self.atoms.get(at).is_some_and(|a| a.meaning == meaning)
    }

    /// What the atoms say; borrowed where nothing in them is escaped.
    fn meaning(&self, at: usize, end: usize) -> Cow<'t, str> {
        let atoms = self.atoms.get(at..end).unwrap_or_default();
        let (Some(first), Some(last)) = (atoms.first(), atoms.last()) else { return Cow::Borrowed("") };
        if atoms.iter().all(|a| a.depth == 0) {
            return Cow::Borrowed(&self.text[first.start()..last.end()]);
        }
        atoms.iter().map(|a| a.meaning).collect()
    }

    fn keep_to(&mut self, at: usize, end: usize) -> usize {
        let end = end.min(self.atoms.len());
        if let (Some(first), true) = (self.atoms.get(at), end > at) {
            self.out.push_str(&self.text[first.start()..self.atoms[end - 1].end()]);
        }
        end.max(at)
    }

    fn mask_to(&mut self, end: usize) -> usize {
        self.out.push_str(MASK);
        end
    }
}
