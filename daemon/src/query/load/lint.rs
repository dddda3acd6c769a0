//! What can be said of SQL before anything plans it: how deep it nests, which parameters it uses, and whether
//! it asks for a clock or for chance.
//!
//! In: SQL text. Out: words with their lines. Strings, quoted names and comments are skipped.

use std::collections::BTreeMap;

use crate::limits::{QUERY_CHAIN_MAX, QUERY_DEPTH_MAX};
use crate::registry::errors::{Place, Problems};
use crate::registry::reader::choices;

/// Words that make an answer depend on something else than the events, and what to write instead.
const REFUSED: &[(&str, &str)] = &[
    ("now", "use as_of(): the instant that is evaluated"),
    ("current_timestamp", "use as_of(): the instant that is evaluated"),
    ("current_time", "use as_of(): the instant that is evaluated"),
    ("current_date", "use date_trunc('day', as_of())"),
    ("today", "use date_trunc('day', as_of())"),
    ("localtime", "use as_of(): the instant that is evaluated"),
    ("localtimestamp", "use as_of(): the instant that is evaluated"),
    ("random", "leave it out: the same events must give the same findings"),
    ("uuid", "leave it out: the same events must give the same findings"),
    ("recursive", "leave it out: recursive queries are refused"),
];

/// A word, `$word`, bracket, comma or operator outside strings and comments.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// Checks `sql`, which starts on `sql_line` of `file`, against its declared parameters.
pub(super) fn check(
    file: &str,
    sql: &str,
    sql_line: usize,
    parameters: &BTreeMap<String, (f64, Place)>,
    problems: &mut Problems,
) {
    let tokens = tokens_of(sql, sql_line);
    let at = |line| Place { file: file.into(), line };
    if tokens.is_empty() {
        let fix = "write one SELECT after the front matter".to_owned();
        problems.error(&at(sql_line), "there is no SQL".to_owned(), fix);
    }
    if let Some(line) = too_deep(&tokens) {
        let message = format!("parentheses and CASE nest deeper than {QUERY_DEPTH_MAX}");
        problems.error(&at(line), message, "split the query into WITH parts".to_owned());
    }
    if let Some(line) = too_long(&tokens) {
        let message = format!("more than {QUERY_CHAIN_MAX} operators, joins or unions in a row");
        problems.error(&at(line), message, "split the query into WITH parts".to_owned());
    }
    for token in &tokens {
        let word = token.text.to_ascii_lowercase();
        if let Some((_, fix)) = REFUSED.iter().find(|(refused, _)| *refused == word) {
            problems.error(
                &at(token.line),
                format!("`{}` is not allowed in a query", token.text),
                (*fix).to_owned(),
            );
        }
    }
    check_parameters(&tokens, parameters, at, problems);
}

fn check_parameters(
    tokens: &[Token<'_>],
    parameters: &BTreeMap<String, (f64, Place)>,
    at: impl Fn(usize) -> Place,
    problems: &mut Problems,
) {
    let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
    let used: Vec<(&str, usize)> =
        tokens.iter().filter_map(|t| t.text.strip_prefix('$').map(|name| (name, t.line))).collect();
    for (name, line) in &used {
        if !parameters.contains_key(*name) {
            let fix = format!("add `-- {name} = ...` under [parameters], or {}", choices(name, &names));
            problems.error(&at(*line), format!("parameter `${name}` is not declared"), fix);
        }
    }
    for (name, (_, place)) in parameters {
        if !used.iter().any(|(u, _)| u == name) {
            let fix = format!("write `${name}` in the SQL, or remove it");
            problems.error(place, format!("parameter `{name}` is declared and never used"), fix);
        }
    }
}

/// The line on which the nesting first exceeds the bound.
fn too_deep(tokens: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    for token in tokens {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            word if word.eq_ignore_ascii_case("case") => depth += 1,
            word if word.eq_ignore_ascii_case("end") => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > QUERY_DEPTH_MAX {
            return Some(token.line);
        }
    }
    None
}

/// The line on which operators, or joins and unions, first follow on each other more often than the bound. They make
/// trees that are as deep as they are many.
fn too_long(tokens: &[Token<'_>]) -> Option<usize> {
    let mut levels = vec![Chain::default()];
    for token in tokens {
        match token.text {
            "(" => levels.push(Chain::default()),
            ")" if levels.len() > 1 => drop(levels.pop()),
            _ => {}
        }
        let chain = levels.last_mut()?;
        chain.add(token.text);
        if chain.operators.max(chain.relations) > QUERY_CHAIN_MAX {
            return Some(token.line);
        }
    }
    None
}

/// What follows on each other within one pair of brackets.
#[derive(Default)]
struct Chain {
    operators: usize,
    relations: usize,
}

impl Chain {
    fn add(&mut self, token: &str) {
        let is = |words: &[&str]| words.iter().any(|word| token.eq_ignore_ascii_case(word));
        if is(&["JOIN", "UNION", "INTERSECT", "EXCEPT"]) {
            self.relations += 1;
        } else if is(&[",", "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "ORDER", "WHEN", "THEN", "ELSE"]) {
            self.operators = 0;
        } else if is(&[
            "AND", "OR", "NOT", "IS", "IN", "LIKE", "ILIKE", "SIMILAR", "BETWEEN", "COLLATE", "AT", "[",
        ]) || token.starts_with(is_operator)
        {
            self.operators += 1;
        }
    }
}

fn is_comment(text: &str) -> bool {
    text.starts_with("--") || text.starts_with("/*")
}

/// Operators may stand right before a comment.
fn operator_length(text: &str) -> usize {
    let ends = |at: &usize| !text[*at..].starts_with(is_operator) || is_comment(&text[*at..]);
    (1..=text.len()).find(ends).unwrap_or(text.len())
}

fn is_operator(c: char) -> bool {
    matches!(
        c,
        '+' | '-' | '*' | '/' | '%' | '|' | '&' | '^' | '<' | '>' | '=' | '!' | '~' | ':' | '#' | '@' | '?'
    )
}

fn tokens_of(sql: &str, first_line: usize) -> Vec<Token<'_>> {
    let (mut tokens, mut line, mut rest) = (Vec::new(), first_line, sql);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' | '`' => quoted_length(rest, first),
            '-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            c if is_word(c) || c == '$' => 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1),
            c if is_operator(c) => operator_length(rest),
            c => c.len_utf8(),
        };
        let (text, after) = rest.split_at(length);
        if is_word(first)
            || matches!(first, '$' | '(' | ')' | '[' | ']' | ',')
            || (is_operator(first) && !is_comment(text))
        {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn quoted_length(text: &str, quote: char) -> usize {
    text[1..].find(quote).map_or(text.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, declared: &[&str], expected: &[(usize, &str)]) {
        let place = Place { file: "q.sql".into(), line: 2 };
        let declared = declared.iter().map(|n| ((*n).to_owned(), (1.0, place.clone()))).collect();
        let mut problems = Problems::default();
        super::check("q.sql", sql, 5, &declared, &mut problems);
        let found = problems.finish().err().map(|e| e.errors).unwrap_or_default();
        assert_eq!(found.len(), expected.len(), "{sql}: {found:?}");
        for (error, (line, part)) in found.iter().zip(expected) {
            assert_eq!(error.line, *line, "{error}");
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn only_words_outside_strings_and_comments_count() {
        check("SELECT 'now()', \"now\" -- random()\n/* $x */ FROM t", &[], &[]);
        check("SELECT now()\n, Random()", &[], &[(5, "as_of()"), (6, "same events")]);
        check("SELECT CURRENT_DATE, 'it''s now' FROM t", &[], &[(5, "date_trunc")]);
    }

    #[test]
    fn parameters_are_declared_and_used() {
        check("SELECT $a + $a", &["a"], &[]);
        check(
            "SELECT\n$callers_mn",
            &["callers_min"],
            &[(2, "never used"), (6, "did you mean `callers_min`")],
        );
    }

    #[test]
    fn deep_nesting_is_refused_before_planning() {
        let nested = |n: usize| format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n));
        check(&nested(QUERY_DEPTH_MAX), &[], &[]);
        check(&nested(QUERY_DEPTH_MAX + 1), &[], &[(5, "nest deeper")]);
        let cases = format!("SELECT {}", "case when 1 then ".repeat(QUERY_DEPTH_MAX + 1));
        check(&cases, &[], &[(5, "nest deeper")]);
    }

    #[test]
    fn long_chains_are_refused_before_planning() {
        let chain = |n: usize, joint: &str| format!("SELECT 1{}", format!(" {joint} 1").repeat(n));
        for joint in ["+", "AND", "::", "||", "IS NOT", "UNION SELECT", "JOIN"] {
            let most = QUERY_CHAIN_MAX / joint.split(' ').filter(|word| *word != "SELECT").count();
            check(&chain(most, joint), &[], &[]);
            check(&chain(most + 1, joint), &[], &[(5, "in a row")]);
        }
        check(&format!("SELECT {}1", "1 + 1, ".repeat(QUERY_CHAIN_MAX)), &[], &[]);
        check(&format!("SELECT {}1", "f(1 + 1 -- 2 + 2\n) AS a, ".repeat(QUERY_CHAIN_MAX)), &[], &[]);
        check(&format!("SELECT 1 {}", "-/* + */".repeat(QUERY_CHAIN_MAX)), &[], &[]);
    }

    #[test]
    fn empty_query_and_unclosed_string_are_survived() {
        check("-- nothing\n", &[], &[(5, "no SQL")]);
        check("SELECT 'abc", &[], &[]);
        check("SELECT é /* open", &[], &[]);
    }
}
