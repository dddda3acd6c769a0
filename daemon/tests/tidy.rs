//! The rules of the house that a program can check; each violation names file, line and rule.
//!
//! Shape: top level, no mod.rs, 500 lines a file before its tests, 70 lines a function, `//!` of at most ten
//! lines, rooms that import downwards and in no circle, one home a crate. Names: no empty words, no type
//! suffixes. Code: no macros of our own, feature flags, unbounded channels, `allow`, ignored tests, sleeps in
//! tests, prints outside the command line, clocks in pure stages. Comments: no marks of work left, no banners.
//! Lints and rustfmt check the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What may stand at the top, dotfiles and build output aside.
const TOP_LEVEL: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "daemon",
    "fixtures",
    "grafana",
    "proto",
    "queries",
];
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const HEADER_LINES_MAX: usize = 10;
/// Say nothing about what is in a module or type.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "common", "helpers", "helper", "misc", "manager", "service", "info", "data"];
/// Repeat the type.
const TYPE_SUFFIXES: &[&str] = &["_opt", "_vec", "_map"];
/// Promise work that nobody will do.
const WORK_LEFT: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];
/// Rooms by floor: a room uses rooms below it, or beside it without a circle.
const FLOORS: &[&[&str]] = &[
    &["limits", "losses", "crash_points", "config", "schema", "metrics", "folder", "findings", "sketch"],
    &["ingest", "query", "registry"],
    &["decode", "enrich", "rollup"],
    &["detect", "explain", "store"],
    &["pipeline", "serve", "notify"],
    &["daemon"],
    &["cli"],
];
/// Crates that one room imports, tests and benches aside.
const CRATE_HOMES: &[(&str, &str)] = &[
    ("rdkafka", "ingest"),
    ("datafusion", "query"),
    ("datasketches", "sketch"),
    ("maxminddb", "registry"),
    ("ua_parser", "enrich"),
    ("rusqlite", "store"),
    ("tonic", "serve"),
    ("tonic_health", "serve"),
    ("tonic_reflection", "serve"),
    ("tonic_types", "serve"),
    ("prost", "serve"),
    ("prost_types", "serve"),
    ("shadowprod_proto", "serve"),
    ("shadowprod_world", "cli"),
    ("sd_notify", "cli"),
];
/// Rooms that no clock is read in: time is a value handed in.
const PURE_ROOMS: &[&str] = &["schema", "decode", "enrich", "rollup", "detect", "findings"];
const CLOCKS: &[&str] = &["SystemTime::now", "Instant::now", "Timestamp::now", "Zoned::now"];

/// Holds what prost and tonic write, to which lints do not apply.
const GENERATED: &str = "proto/src/lib.rs";

/// Name, and what adds its violations in one file.
type Rule = (&'static str, fn(&Source, &mut Vec<String>));

const RULES: &[Rule] = &[
    ("no mod.rs", no_mod_file),
    ("header", header),
    ("file length", file_length),
    ("function length", function_length),
    ("empty name", empty_names),
    ("type suffix", type_suffixes),
    ("work left", work_left),
    ("banner", banners),
    ("ignored test", ignored_tests),
    ("sleep in test", sleeps_in_tests),
    ("allow", allows),
    ("own macro", own_macros),
    ("print", prints),
    ("unbounded channel", channel_bounds),
    ("clock", clocks),
    ("crate home", crate_homes),
    ("import up", imports_up),
];

#[test]
fn the_house_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("daemon stands in the workspace");
    let mut violations = Vec::new();
    let sources = sources(root);
    assert!(sources.len() > 10, "no sources found below {}", root.display());
    for source in &sources {
        for (_, rule) in RULES {
            rule(source, &mut violations);
        }
    }
    violations.extend(circle(&sources));
    violations.extend(top_level(&entries(root)));
    for path in files(root, &["sql", "md", "proto", "sh", "toml"]) {
        let text = fs::read_to_string(&path).expect("listed a moment ago");
        violations.extend(text_violations(&name(root, &path), &text));
    }
    assert!(violations.is_empty(), "{} violations:\n{}\n", violations.len(), violations.join("\n"));
}

/// One Rust file, line by line.
struct Source {
    /// From the workspace's root, with `/`.
    path: String,
    lines: Vec<Line>,
}

#[derive(Default)]
struct Line {
    /// Code without comments, texts emptied.
    code: String,
    /// Comment with its slashes.
    comment: String,
    in_test: bool,
}

impl Source {
    fn read(path: &str, text: &str) -> Self {
        let mut scanner = Scanner::Code;
        let mut lines: Vec<Line> = text.lines().map(|line| scanner.line(line)).collect();
        let test_file = path.contains("/tests/") || path.ends_with("/tests.rs");
        let is_marker = |i: usize| {
            let next = lines[i + 1..].iter().find(|l| !l.code.trim().is_empty());
            lines[i].code.trim() == "#[cfg(test)]"
                && next.is_some_and(|l| l.code.trim_start().starts_with("mod "))
        };
        let first_test =
            if test_file { 0 } else { (0..lines.len()).find(|i| is_marker(*i)).unwrap_or(lines.len()) };
        lines[first_test..].iter_mut().for_each(|line| line.in_test = true);
        Self { path: path.to_owned(), lines }
    }

    /// The room: `serve` for `daemon/src/serve.rs` and `daemon/src/serve/grpc.rs`; `None` outside the house.
    fn room(&self) -> Option<&str> {
        let below = self.path.strip_prefix("daemon/src/")?;
        let room = below.split('/').next()?.trim_end_matches(".rs");
        (room != "lib" && room != "main").then_some(room)
    }

    fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().filter(|(number, _)| !self.lines[number - 1].in_test)
    }

    /// Line numbers from 1 and code.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines.iter().enumerate().map(|(i, line)| (i + 1, line.code.as_str()))
    }

    fn violation(&self, line: usize, message: impl std::fmt::Display) -> String {
        format!("{}:{line}: {message}", self.path)
    }
}

/// Where the end of one line leaves the next.
#[derive(Clone, Copy)]
enum Scanner {
    Code,
    Comment { depth: usize },
    Text,
    RawText { hashes: usize },
}

impl Scanner {
    fn line(&mut self, text: &str) -> Line {
        let (mut line, mut rest) = (Line::default(), text);
        while !rest.is_empty() {
            rest = match *self {
                Scanner::Code => self.code(rest, &mut line),
                Scanner::Comment { depth } => self.comment(rest, depth, &mut line),
                Scanner::Text => self.text(rest),
                Scanner::RawText { hashes } => {
                    let end = format!("\"{}", "#".repeat(hashes));
                    self.until(rest, &end)
                }
            };
        }
        line
    }

    fn code<'t>(&mut self, rest: &'t str, line: &mut Line) -> &'t str {
        if rest.starts_with("//") {
            line.comment.push_str(rest);
            return "";
        }
        if let Some(rest) = rest.strip_prefix("/*") {
            *self = Scanner::Comment { depth: 1 };
            return rest;
        }
        if let Some((hashes, rest)) = raw_text(rest, &line.code) {
            *self = Scanner::RawText { hashes };
            return rest;
        }
        if let Some(rest) = rest.strip_prefix('"') {
            *self = Scanner::Text;
            line.code.push_str("\"\"");
            return rest;
        }
        if let Some(rest) = character(rest) {
            return rest;
        }
        let next = rest.chars().next().expect("the rest is not empty");
        line.code.push(next);
        &rest[next.len_utf8()..]
    }

    fn comment<'t>(&mut self, rest: &'t str, depth: usize, line: &mut Line) -> &'t str {
        let next = rest.chars().next().expect("the rest is not empty");
        if let Some(rest) = rest.strip_prefix("*/") {
            *self = if depth == 1 { Scanner::Code } else { Scanner::Comment { depth: depth - 1 } };
            return rest;
        }
        if let Some(rest) = rest.strip_prefix("/*") {
            *self = Scanner::Comment { depth: depth + 1 };
            return rest;
        }
        line.comment.push(next);
        &rest[next.len_utf8()..]
    }

    fn text<'t>(&mut self, rest: &'t str) -> &'t str {
        match rest.find(['"', '\\']) {
            Some(i) if rest[i..].starts_with('"') => self.until(rest, "\""),
            Some(i) => rest[i + 1..].chars().next().map_or("", |c| &rest[i + 1 + c.len_utf8()..]),
            None => "",
        }
    }

    fn until<'t>(&mut self, rest: &'t str, end: &str) -> &'t str {
        let Some(i) = rest.find(end) else { return "" };
        *self = Scanner::Code;
        &rest[i + end.len()..]
    }
}

/// `r"` or `r#"` at the start of a token: how many `#`, and what follows.
fn raw_text<'t>(rest: &'t str, before: &str) -> Option<(usize, &'t str)> {
    if before.ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_') {
        return None;
    }
    let rest = rest.strip_prefix('r')?;
    let after = rest.trim_start_matches('#');
    Some((rest.len() - after.len(), after.strip_prefix('"')?))
}

/// What follows `'x'` or `'\n'`; `None` for a lifetime.
fn character(rest: &str) -> Option<&str> {
    let inner = rest.strip_prefix('\'')?;
    if let Some(escaped) = inner.strip_prefix('\\') {
        let end = escaped[1..].find('\'')?;
        return Some(&escaped[end + 2..]);
    }
    let c = inner.chars().next()?;
    inner[c.len_utf8()..].strip_prefix('\'')
}

fn sources(root: &Path) -> Vec<Source> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("listed a moment ago");
        Source::read(&name(root, &path), &text)
    };
    files(root, &["rs"]).into_iter().map(read).collect()
}

fn name(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).expect("found below the root");
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

fn entries(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder of the workspace");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("listed").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !name.starts_with('.') && name != "target" && name != "node_modules");
    names.sort();
    names
}

fn files(dir: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in entries(dir) {
        let path = dir.join(name);
        if path.is_dir() {
            found.extend(files(&path, endings));
        } else if path.extension().is_some_and(|e| endings.iter().any(|ending| e == *ending)) {
            found.push(path);
        }
    }
    found
}

/// Identifiers of a line.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn no_mod_file(source: &Source, violations: &mut Vec<String>) {
    if source.path.ends_with("/mod.rs") {
        violations.push(source.violation(1, "a module is foo.rs and foo/, never mod.rs"));
    }
}

fn header(source: &Source, violations: &mut Vec<String>) {
    let lines = source.lines.iter().take_while(|line| line.comment.starts_with("//!")).count();
    if lines == 0 {
        violations
            .push(source.violation(1, "no `//!`: say what comes in, what goes out, what never happens here"));
    }
    if lines > HEADER_LINES_MAX {
        violations
            .push(source.violation(lines, format!("`//!` of {lines} lines, at most {HEADER_LINES_MAX}")));
    }
}

fn file_length(source: &Source, violations: &mut Vec<String>) {
    let lines = source.production().count();
    if lines > FILE_LINES_MAX {
        let message = format!("{lines} lines before the tests, at most {FILE_LINES_MAX}: split the file");
        violations.push(source.violation(lines, message));
    }
}

fn function_length(source: &Source, violations: &mut Vec<String>) {
    for (name, start, lines) in functions(source) {
        if lines > FUNCTION_LINES_MAX {
            let message =
                format!("function `{name}` has {lines} lines, at most {FUNCTION_LINES_MAX}: split it");
            violations.push(source.violation(start, message));
        }
    }
}

/// Name, first line and number of lines of every function with a body.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    let mut announced: Option<(String, usize)> = None;
    let (mut done, mut depth, mut nested) = (Vec::new(), 0, 0);
    for (number, code) in source.code() {
        let mut last = "";
        for token in code.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
            let word = token.trim_end_matches(|c: char| !c.is_alphanumeric() && c != '_');
            if last == "fn" && !word.is_empty() {
                announced = Some((word.to_owned(), number));
            }
            last = if word.is_empty() { last } else { word };
            match token.chars().last() {
                Some('{') => {
                    depth += 1;
                    open.extend(announced.take().map(|(name, start)| (name, start, depth)));
                }
                Some('}') => {
                    done.extend(open.pop_if(|f| f.2 == depth).map(|f| (f.0, f.1, number + 1 - f.1)));
                    depth -= 1;
                }
                Some('(' | '[') => nested += 1,
                Some(')' | ']') => nested -= 1,
                Some(';') if nested == 0 => announced = None,
                Some(_) | None => {}
            }
        }
    }
    done
}

fn empty_names(source: &Source, violations: &mut Vec<String>) {
    let stem = source.path.rsplit('/').next().unwrap_or("").trim_end_matches(".rs");
    if EMPTY_NAMES.contains(&stem) {
        violations.push(source.violation(1, format!("`{stem}` says nothing about what is in it")));
    }
    for (number, code) in source.code() {
        let mut last = "";
        for word in words(code) {
            let lower = word.to_lowercase();
            let named = matches!(last, "mod" | "struct" | "enum" | "trait" | "type");
            if named && EMPTY_NAMES.contains(&lower.as_str()) {
                violations
                    .push(source.violation(number, format!("`{word}` says nothing about what is in it")));
            }
            last = word;
        }
    }
}

fn type_suffixes(source: &Source, violations: &mut Vec<String>) {
    for (number, code) in source.code() {
        let mut last = "";
        for word in words(code) {
            let after = &code[word.as_ptr() as usize - code.as_ptr() as usize + word.len()..];
            let field = after.starts_with(':') && !after.starts_with("::");
            let named = field || matches!(last, "let" | "mut" | "struct" | "mod" | "static" | "const");
            if named && TYPE_SUFFIXES.iter().any(|suffix| word.ends_with(suffix)) {
                violations
                    .push(source.violation(number, format!("`{word}` repeats its type: name what it holds")));
            }
            last = word;
        }
    }
}

fn work_left(source: &Source, violations: &mut Vec<String>) {
    for (i, line) in source.lines.iter().enumerate() {
        let called = line.code.contains("todo!") || line.code.contains("unimplemented!");
        if called || words(&line.comment).any(|word| WORK_LEFT.contains(&word)) {
            violations.push(source.violation(i + 1, "a mark of work left: do it, or open an issue"));
        }
    }
}

fn banners(source: &Source, violations: &mut Vec<String>) {
    for (i, line) in source.lines.iter().enumerate() {
        let rules = ["----", "====", "****", "////", "####"];
        if rules.iter().any(|rule| line.comment.contains(rule)) {
            violations.push(source.violation(i + 1, "a banner: split the file where it needs one"));
        }
    }
}

fn ignored_tests(source: &Source, violations: &mut Vec<String>) {
    find(source.code(), &["#[ignore"], "an ignored test: run it or remove it", source, violations);
}

fn sleeps_in_tests(source: &Source, violations: &mut Vec<String>) {
    let tests = source.code().filter(|(number, _)| source.lines[number - 1].in_test);
    find(
        tests,
        &["sleep("],
        "a sleep in a test: wait for what must happen, with a deadline",
        source,
        violations,
    );
}

fn allows(source: &Source, violations: &mut Vec<String>) {
    if source.path == GENERATED {
        return;
    }
    let message = "an exception from a lint is #[expect(..., reason = \"...\")]";
    find(source.code(), &["#[allow(", "#![allow("], message, source, violations);
}

fn own_macros(source: &Source, violations: &mut Vec<String>) {
    find(source.code(), &["macro_rules!"], "a macro of our own: write a function", source, violations);
}

fn prints(source: &Source, violations: &mut Vec<String>) {
    if matches!(source.room(), None | Some("cli")) {
        return;
    }
    let prints = ["println!(", "print!("];
    find(source.production(), &prints, "only cli/ prints: use tracing or return a value", source, violations);
}

fn channel_bounds(source: &Source, violations: &mut Vec<String>) {
    let names = ["unbounded_channel", "unbounded", "UnboundedSender", "UnboundedReceiver"];
    for (number, code) in source.production() {
        let std_channel = code.contains("mpsc::channel()") || code.contains(" channel()");
        if std_channel || words(code).any(|word| names.contains(&word)) {
            violations.push(source.violation(number, "an unbounded channel: give it a bound from limits.rs"));
        }
    }
}

fn clocks(source: &Source, violations: &mut Vec<String>) {
    if source.room().is_some_and(|room| PURE_ROOMS.contains(&room)) {
        find(
            source.production(),
            CLOCKS,
            "a pure stage reads a clock: take the time as a value",
            source,
            violations,
        );
    }
}

fn find<'s>(
    lines: impl Iterator<Item = (usize, &'s str)>,
    forbidden: &[&str],
    message: &str,
    source: &Source,
    violations: &mut Vec<String>,
) {
    for (number, code) in lines {
        if forbidden.iter().any(|word| code.contains(word)) {
            violations.push(source.violation(number, message));
        }
    }
}

fn crate_homes(source: &Source, violations: &mut Vec<String>) {
    let Some(room) = source.room() else { return };
    for (number, code) in source.production() {
        for (name, home) in CRATE_HOMES {
            let used = words(code).any(|word| word == *name)
                && (code.contains(&format!("{name}::")) || code.contains(&format!("use {name}")));
            if used && room != *home {
                violations
                    .push(source.violation(number, format!("only {home} imports {name}: move it there")));
            }
        }
    }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Rooms that a file's production code names, with the line of the first use.
fn used_rooms(source: &Source) -> BTreeMap<String, usize> {
    let mut used = BTreeMap::new();
    let mut in_list = false;
    for (number, code) in source.production() {
        for part in code.split("crate::").skip(1) {
            in_list = part.starts_with('{');
            if let Some(room) = words(part).next().filter(|_| !in_list) {
                used.entry(room.to_owned()).or_insert(number);
            }
        }
        if in_list {
            let rooms = words(code).filter(|word| floor(word).is_some());
            rooms.for_each(|room| {
                used.entry(room.to_owned()).or_insert(number);
            });
            in_list = !code.contains(';');
        }
    }
    used
}

fn imports_up(source: &Source, violations: &mut Vec<String>) {
    let Some(room) = source.room() else { return };
    let Some(own) = floor(room) else {
        violations.push(source.violation(1, format!("room `{room}` stands on no floor: add it to FLOORS")));
        return;
    };
    for (used, line) in used_rooms(source) {
        if floor(&used).is_some_and(|floor| floor > own) {
            violations.push(source.violation(line, format!("{room} imports {used}, which stands above it")));
        }
    }
}

/// Rooms that use each other in a circle, if any.
fn circle(sources: &[Source]) -> Option<String> {
    let mut uses: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let Some(room) = source.room() else { continue };
        let used = used_rooms(source).into_keys().filter(|used| used != room && floor(used).is_some());
        uses.entry(room).or_default().extend(used);
    }
    while let Some(free) = outside_circles(&uses) {
        uses.remove(free);
    }
    let rooms: Vec<&str> = uses.into_keys().collect();
    (!rooms.is_empty()).then(|| format!("daemon/src:1: {} import each other in a circle", rooms.join(", ")))
}

/// A room that uses none of the others, or that none of them uses.
fn outside_circles<'s>(uses: &BTreeMap<&'s str, BTreeSet<String>>) -> Option<&'s str> {
    let uses_none = |used: &BTreeSet<String>| !used.iter().any(|u| uses.contains_key(u.as_str()));
    let is_unused = |room: &str| !uses.values().any(|used| used.contains(room));
    uses.iter().find(|(room, used)| uses_none(used) || is_unused(room)).map(|(room, _)| *room)
}

fn top_level(names: &[String]) -> Vec<String> {
    let foreign = names.iter().filter(|name| !TOP_LEVEL.contains(&name.as_str()));
    foreign
        .map(|name| format!("{name}:1: not of the top level: it has a home in one of its folders"))
        .collect()
}

/// Of files that are not Rust.
fn text_violations(path: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if words(line).any(|word| WORK_LEFT.contains(&word)) {
            violations.push(format!("{path}:{}: a mark of work left: do it, or open an issue", i + 1));
        }
        if path == "daemon/Cargo.toml" && line.trim() == "[features]" {
            violations.push(format!("{path}:{}: the daemon has no feature flags", i + 1));
        }
    }
    violations
}

/// What each rule must refuse: the rule's name, a path, a text, the line it must name.
fn bad_examples() -> Vec<(&'static str, &'static str, String, usize)> {
    let rust = |body: &str| format!("//! What it is.\n{body}\n");
    let store = "daemon/src/store.rs";
    vec![
        ("no mod.rs", "daemon/src/store/mod.rs", rust(""), 1),
        ("header", store, "use std::fs;\n".to_owned(), 1),
        ("header", store, "//! Long.\n".repeat(11), 11),
        ("file length", store, rust(&"const A: u8 = 0;\n".repeat(500)), 502),
        ("function length", store, rust(&format!("fn long() {{\n{}}}", "    step();\n".repeat(69))), 2),
        ("empty name", "daemon/src/store/helpers.rs", rust(""), 1),
        ("empty name", store, rust("pub struct Manager;"), 2),
        ("type suffix", store, rust("let names_vec = 1;"), 2),
        ("type suffix", store, rust("struct A {\n    owner_opt: u8,\n}"), 3),
        ("work left", store, rust("// TODO: later"), 2),
        ("work left", store, rust("fn f() {\n    unimplemented!()\n}"), 3),
        ("banner", store, rust("// ------ reading ------"), 2),
        ("ignored test", store, rust("#[cfg(test)]\nmod tests {\n#[ignore]\nfn f() {}\n}"), 4),
        ("sleep in test", "daemon/tests/kafka.rs", rust("fn f() {\n    thread::sleep(SECOND);\n}"), 3),
        ("allow", store, rust("#[allow(dead_code)]\nfn f() {}"), 2),
        ("own macro", store, rust("macro_rules! twice {}"), 2),
        ("print", store, rust("fn f() {\n    println!(\"here\");\n}"), 3),
        ("unbounded channel", store, rust("let (a, b) = std::sync::mpsc::channel();"), 2),
        ("unbounded channel", store, rust("use tokio::sync::mpsc::unbounded_channel;"), 2),
        ("clock", "daemon/src/rollup/state.rs", rust("let now = std::time::Instant::now();"), 2),
        ("crate home", "daemon/src/cli/demo.rs", rust("use rdkafka::mocking::MockCluster;"), 2),
        ("import up", store, rust("use crate::schema::Kind;\nuse crate::cli::main;"), 3),
        ("import up", store, rust("use crate::{\n    limits,\n    serve::Health,\n};"), 4),
        ("import up", "daemon/src/corridor.rs", rust(""), 1),
    ]
}

/// Front matter keys that `query/load.rs` asks for.
fn front_matter_keys(load: &str) -> BTreeSet<&str> {
    let asked = load.split("keys.").skip(1).filter_map(|call| call.split_once("(\""));
    let asked = asked.filter(|(method, _)| method.chars().all(|c| c.is_ascii_lowercase()));
    asked.filter_map(|(_, rest)| rest.split('"').next()).collect()
}

#[test]
fn every_front_matter_key_is_explained_to_authors() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("daemon stands in the workspace");
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("the file is there");
    let (load, guide) = (read("daemon/src/query/load.rs"), read("queries/README.md"));
    let keys = front_matter_keys(&load);
    assert!(keys.contains("revisit_days") && keys.contains("mode"), "{keys:?}");
    let missing: Vec<&&str> = keys.iter().filter(|key| !guide.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "queries/README.md does not explain {missing:?}");
}

#[test]
fn each_rule_can_fail() {
    let mut shown = BTreeSet::new();
    for (name, path, text, line) in bad_examples() {
        let (_, rule) = RULES.iter().find(|(rule, _)| *rule == name).expect("the example names a rule");
        let mut violations = Vec::new();
        rule(&Source::read(path, &text), &mut violations);
        assert_eq!(violations.len(), 1, "{name}: {violations:?}\n{text}");
        assert!(violations[0].starts_with(&format!("{path}:{line}: ")), "{name}: {violations:?}");
        shown.insert(name);
    }
    let all: BTreeSet<&str> = RULES.iter().map(|(name, _)| *name).collect();
    assert_eq!(shown, all, "every rule has an example");
}

#[test]
fn rules_over_the_whole_house_can_fail() {
    let one = Source::read("daemon/src/serve.rs", "//! A.\nuse crate::notify::x;");
    let two = Source::read("daemon/src/notify.rs", "//! B.\nuse crate::serve::y;\nuse crate::store::z;");
    let expected = "daemon/src:1: notify, serve import each other in a circle";
    assert_eq!(circle(&[one, two]).as_deref(), Some(expected));
    let names = ["daemon", "scripts"].map(str::to_owned);
    assert_eq!(top_level(&names), ["scripts:1: not of the top level: it has a home in one of its folders"]);
    assert_eq!(text_violations("daemon/Cargo.toml", "[package]\n[features]\n").len(), 1);
    assert_eq!(text_violations("queries/a.sql", "-- FIXME\n").len(), 1);
}

#[test]
fn what_only_looks_like_a_violation_is_none() {
    let text = r###"//! Quotes a text, reads `r#""#` and '"'.
use crate::{limits, schema};
const A: &str = "// TODO println!( macro_rules!";
const B: &str = r#"unbounded_channel "#;
const C: [char; 3] = ['"', '\'', '{'];
fn f<'a>(x: &'a [u8; 4]) -> usize { x.iter().flat_map(|b| b.checked_add(1)).filter_map(Some).count() }
let (a, b) = tokio::sync::mpsc::channel(limits::WAITING_MAX);
/* a comment /* in a comment */ "still */ let not_in_comment = 1;
#[cfg(test)]
mod tests {
    use crate::cli::main;
    fn g() { println!("seed"); Instant::now(); }
}
"###;
    let source = Source::read("daemon/src/rollup.rs", text);
    let mut violations = Vec::new();
    for (_, rule) in RULES {
        rule(&source, &mut violations);
    }
    assert_eq!(violations, Vec::<String>::new());
    let names: Vec<String> = functions(&source).into_iter().map(|f| f.0).collect();
    assert_eq!(names, ["f", "g"]);
}
