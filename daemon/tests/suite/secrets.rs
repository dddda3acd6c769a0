//! The fact that no secret leaves the daemon: planted in valid and in broken records of every format, looked for in
//! everything that comes out. What stands beside them is looked for too, so that an empty output proves nothing.
//!
//! In: the broker of [`crate::kafka`], fixtures/. Out: nothing of what was planted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use memchr::memmem;
use rdkafka::message::{Headers, Message};
use shadowprod::decode::{Decoder, Format, SourceSpec};
use shadowprod::ingest::{Position, RawBatch};
use shadowprod::rollup::segments;

use crate::dead_letters::{PARTITIONS, each_letter};
use crate::kafka::{Admin, new_producer, produce_bytes, shared, unique, until};
use crate::process::Daemon;

/// A kind of secret and how it is written: `@` is random, `#` the secret that is made of it.
struct Kind {
    secret: &'static str,
    header: (&'static str, &'static str),
    query: &'static str,
    member: &'static str,
}

const fn kind(
    secret: &'static str,
    header: (&'static str, &'static str),
    query: &'static str,
    member: &'static str,
) -> Kind {
    Kind { secret, header, query, member }
}

/// Known by its form alone: nothing around it says what it is.
const fn form(secret: &'static str) -> Kind {
    kind(secret, ("x-note", "used # here"), "note=#", r##""note":"used # here""##)
}

const KINDS: &[Kind] = &[
    kind("@", ("x-user-password", "#"), "password=#", r##""password":"#""##),
    kind("wJalr@/K7MD+bPxRfiCY", ("x-secret", "#"), "aws_secret_access_key=#", r##""secretAccessKey":"#""##),
    kind(
        "IQoJb3JpZ2lu@/aB+1==",
        ("x-amz-security-token", "#"),
        "X-Amz-Security-Token=#",
        r##""sessionToken":"#""##,
    ),
    form("AKIA^"),
    kind("eyJhbGciOiJIUzI1NiJ9.@.c2ln", ("authorization", "Bearer #"), "note=#", r##""note":"got # back""##),
    kind("dXNlcjo@", ("authorization", "Basic #"), "note=Basic%20#", r##""note":"Basic #""##),
    kind("@", ("authorization", "Bearer #"), "access_token=#", r##""note":"bearer #""##),
    kind("@", ("cookie", "theme=dark; session=#"), "sessionid=#", r##""set-cookie":["session=#; Path=/"]"##),
    form("ghp_@"),
    form("github_pat_11A_@"),
    form("glpat-@"),
    form("xoxb-1-2-@"),
    form("https://hooks.slack.com/services/T0/B0/@"),
    form("sk_live_@"),
    form("sk-proj-@"),
    form("sk-ant-api03-@"),
    form("AIzaSy@"),
    kind(
        "MIIE@",
        ("x-client-key", "-----BEGIN PRIVATE KEY-----\\n#\\nab\\n-----END PRIVATE KEY-----"),
        "note=-----BEGIN+PRIVATE+KEY-----%0A#%0A-----END+PRIVATE+KEY-----",
        r##""note":"-----BEGIN RSA PRIVATE KEY-----\n#\nab\n-----END RSA PRIVATE KEY-----""##,
    ),
    kind(
        "@",
        ("x-ms-copy-source", "https://a.blob.example/c?sv=1&sig=#"),
        "sv=1&sig=#",
        r##""blobUrl":"https://a.blob.example/c?sv=1&sig=#&sp=r""##,
    ),
    kind(
        "@",
        ("x-note", "postgres://app:#@db.example/x"),
        "note=postgres%3A%2F%2Fapp%3A#%40db.example",
        r##""note":"amqps://app:#@mq.example:5671""##,
    ),
    kind(
        "@",
        ("x-note", "Server=db;Password=#;Encrypt=yes"),
        "note=Server%3Ddb%3BPassword%3D#%3BEncrypt%3Dyes",
        r##""note":"Endpoint=sb://x/;SharedAccessKey=#""##,
    ),
    kind(
        "@",
        ("x-note", "https://b.s3.example/o?X-Amz-Date=1&X-Amz-Signature=#"),
        "X-Amz-Signature=#",
        r##""note":"https://b.s3.example/o?X-Amz-Signature=#&x=1""##,
    ),
    kind("@", ("x-client-secret", "#"), "client_secret=#", r##""client_secret":"#""##),
    kind("@", ("x-refresh-token", "#"), "refresh_token=#", r##""refresh_token":"#""##),
    kind("@", ("x-api-key", "#"), "api_key=#", r##""apiKey":"#""##),
    kind(
        "@",
        ("x-secret-value", "#"),
        "token=#",
        r##""requestObject":{"apiVersion":"v1","data":{"db":"#"},"kind":"Secret"}"##,
    ),
    kind(
        "@",
        ("x-secret-value", "#"),
        "token=#",
        r##""responseObject":{"kind":"Secret","apiVersion":"v1","stringData":{"db":"#"}}"##,
    ),
    kind("@", ("x-otp", "#"), "otp=#", r##""otp":"#""##),
];

/// What is looked for of each secret: no form of masking leaves it.
fn random_part(format: usize, kind: usize) -> String {
    format!("Zq{format:02}x{kind:02}WvKx9TmPd")
}

/// One planted secret in its places.
struct Plant {
    random: String,
    marker: String,
    members: String,
    query: String,
}

impl Plant {
    fn new(format: (usize, Format), number: usize) -> Self {
        let kind = &KINDS[number];
        let random = random_part(format.0, number);
        let random = if kind.secret.contains('^') { random.to_uppercase() } else { random };
        let secret = kind.secret.replace(['@', '^'], &random);
        let written = |template: &str| template.replace('#', &secret);
        let (name, value) = (kind.header.0, written(kind.header.1));
        let (query, member) = (written(kind.query), written(kind.member));
        let marker = format!("harmless-{}-{number:02}", format.1.name());
        let body = serde_json::to_string(&format!("{{{member},\"x\":1}}")).unwrap();
        let members = format!(
            r#""http_headers":{{"{name}":"{value}"}},"header_list":[{{"name":"{name}","value":"{value}"}}],"link":"https://h.example/x?{query}&y=1","sent":{{{member}}},"sent_text":{body},"marker":"{marker}""#
        );
        Self { random, marker, members, query }
    }

    /// The record with the secret in fields that nobody reads and in the address that its format has.
    fn valid(&self, record: &str) -> String {
        let mut text = record.strip_suffix('}').unwrap().to_owned() + "," + &self.members + "}";
        for address in ["\"x-envoy-origin-path\":\"", "\"RequestPath\":\"", "\"requestURI\":\""] {
            if let Some(value) = text.find(address).map(|at| at + address.len()) {
                let end = value + text[value..].find('"').unwrap();
                let joint = if text[value..end].contains('?') { "&" } else { "?" };
                text.insert_str(end, &format!("{joint}{}", self.query));
            }
        }
        text
    }

    fn broken(&self, record: &str, how: usize) -> Vec<u8> {
        let text = self.valid(record);
        let cut = &text.as_bytes()[..text.len() - 1];
        match how % 5 {
            0 => cut.to_vec(),
            1 => [cut, b"\xff}"].concat(),
            2 => [text.as_bytes(), b"{}"].concat(),
            3 => gzip(cut),
            _ => format!("{{{},\"of\":\"no format\"}}", self.members).into_bytes(),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// A record of this format's fixtures that is exactly one event.
fn record(format: Format) -> String {
    let text = std::fs::read_to_string(fixtures().join("decode").join(format.name()).join("input.jsonl"));
    // An event keeps the first segments of a path: with a short one it would keep what follows, too.
    let text = text.unwrap().replace("/v1/chat/completions", "/v1").replace("\"route_name\"", "\"no_route\"");
    let is_event = |line: &&str| {
        let spec =
            SourceSpec { name: String::new(), format: Some(format).into(), account: None, dedupe: false };
        let mut batch = RawBatch::default();
        batch.push(Position { topic: 0, partition: 0, offset: 0 }, None, line.as_bytes());
        let decoded = Decoder::new(vec![Some(spec)]).decode(&batch);
        decoded.rejects.is_empty() && decoded.content_hashes.len() == 1 && line.starts_with("{\"")
    };
    text.lines().find(is_event).unwrap().to_owned()
}

/// Everything that is sent, by topic and format.
struct World {
    dir: tempfile::TempDir,
    logs: Vec<(String, &'static str, Vec<Vec<u8>>)>,
    letters: String,
    plants: Vec<Plant>,
    /// Credentials of valid records, which only a keyed hash may leave.
    credentials: Vec<String>,
    rejects: usize,
}

const SCENARIO: &str = "scenarios/unpromoted-production-traffic";
/// What the scenario's findings are about, and who calls.
const SUBJECT: &str = "claims-triage";

impl World {
    fn new() -> Self {
        let mut world = Self {
            dir: tempfile::tempdir().unwrap(),
            logs: Vec::new(),
            letters: unique("rejects"),
            plants: Vec::new(),
            credentials: Vec::new(),
            rejects: 0,
        };
        world.scenario();
        for (index, format) in Format::all().enumerate() {
            world.format(index, format);
        }
        world
    }

    /// Logs that give findings, with a secret in every record.
    fn scenario(&mut self) {
        for (number, (file, format)) in
            [("gateway", "envoy"), ("cloudtrail", "cloudtrail")].into_iter().enumerate()
        {
            let text = std::fs::read_to_string(fixtures().join(SCENARIO).join(file).with_extension("jsonl"))
                .unwrap();
            let format = Format::parse(format).unwrap();
            let plants: Vec<Plant> =
                (0..KINDS.len()).map(|kind| Plant::new((90 + number, format), kind)).collect();
            let lines = text.lines().enumerate().map(|(i, line)| {
                let mut line = plants[i % plants.len()].valid(line);
                if let Some(at) = line.find("\"accessKeyId\":\"").map(|at| at + 15) {
                    let key = format!("ASIA{}", random_part(80, i % 8).to_uppercase());
                    line.replace_range(at..at + line[at..].find('"').unwrap(), &key);
                    self.credentials.push(key);
                }
                line.into_bytes()
            });
            self.logs.push((unique(file), format.name(), lines.collect()));
            self.plants.extend(plants);
        }
    }

    fn format(&mut self, index: usize, format: Format) {
        let record = record(format);
        let mut messages = Vec::new();
        for number in 0..KINDS.len() {
            let plant = Plant::new((index, format), number);
            messages.push(plant.valid(&record).into_bytes());
            messages.push(plant.broken(&record, index + number));
            self.plants.push(plant);
        }
        self.rejects += KINDS.len();
        self.logs.push((unique(format.name()), format.name(), messages));
    }

    fn config(&self) -> PathBuf {
        self.dir.path().join("shadowprod.toml")
    }

    fn write_config(&self, address: &str) {
        let mut text = format!("[kafka]\nbrokers = {address:?}\ngroup = {:?}\n", self.letters);
        for (topic, format, _) in &self.logs {
            write!(text, "[[source]]\ntopic = {topic:?}\nformat = {format:?}\n").unwrap();
        }
        let registry = fixtures().join(SCENARIO).join("registry");
        write!(
            text,
            "[dead_letter]\ntopic = {:?}\n[registry]\npath = {registry:?}\n[state]\npath = \"state\"\n\
             [time]\nclock = \"log\"\n[serve]\ngrpc = \"127.0.0.1:0\"\nhttp = \"127.0.0.1:0\"\n",
            self.letters
        )
        .unwrap();
        std::fs::write(self.config(), text).unwrap();
    }

    fn send(&self, address: &str) {
        let (admin, producer) = (Admin::new(address), new_producer(address));
        admin.create(&self.letters, PARTITIONS);
        for (topic, _, messages) in &self.logs {
            admin.create(topic, 1);
            produce_bytes(&producer, topic, 0, messages);
        }
    }

    fn messages(&self) -> usize {
        self.logs.iter().map(|(_, _, messages)| messages.len()).sum()
    }

    /// Fails where `output` holds a secret, or lacks one of `markers`.
    fn check(&self, name: &str, output: &[u8], markers: &[&str]) {
        let secrets = self.plants.iter().map(|plant| &plant.random).chain(&self.credentials);
        for secret in secrets {
            if let Some(at) = memmem::find(output, secret.as_bytes()) {
                let around = &output[at.saturating_sub(200)..(at + 100).min(output.len())];
                panic!("{name} holds {secret}: {}", String::from_utf8_lossy(around));
            }
        }
        for marker in markers {
            let found = memmem::find(output, marker.as_bytes()).is_some();
            assert!(found, "{name}, of {} bytes, does not hold {marker}", output.len());
        }
    }

    /// Markers of what was rejected.
    fn markers(&self) -> Vec<&str> {
        self.plants[2 * KINDS.len()..].iter().map(|plant| plant.marker.as_str()).collect()
    }

    fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output = Command::new(env!("CARGO_BIN_EXE_shadowprod"))
            .args(arguments)
            .env("RUST_LOG", "debug")
            .output()
            .unwrap();
        assert!(output.status.code().is_some_and(|code| code < 2), "{arguments:?}: {output:?}");
        [output.stdout, output.stderr].concat()
    }

    /// Every value of every row.
    fn stored(&self) -> Vec<u8> {
        let store = rusqlite::Connection::open(self.dir.path().join("state/shadowprod.db")).unwrap();
        let mut tables = store.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let tables: Vec<String> =
            tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut all = Vec::new();
        for table in tables {
            let mut select = store.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
            let columns = select.column_count();
            let mut rows = select.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                for column in 0..columns {
                    let value: rusqlite::types::Value = row.get(column).unwrap();
                    match value {
                        rusqlite::types::Value::Text(text) => all.extend_from_slice(text.as_bytes()),
                        rusqlite::types::Value::Blob(bytes) => all.extend(bytes),
                        number => all.extend_from_slice(format!("{number:?}").as_bytes()),
                    }
                    all.push(b'\n');
                }
            }
        }
        all
    }

    /// Every file of the state folder as it is, and what the database says.
    fn check_state(&self, markers: &[&str]) {
        for file in std::fs::read_dir(self.dir.path().join("state")).unwrap() {
            let path = file.unwrap().path();
            self.check(&path.display().to_string(), &std::fs::read(&path).unwrap(), &[]);
        }
        self.check("the database", &self.stored(), markers);
        self.check("rollup rows", &self.rollup_rows(), &[SUBJECT, "arn:aws:"]);
    }

    /// What the stored bytes of rollups stand for, as JSON.
    fn rollup_rows(&self) -> Vec<u8> {
        let store = rusqlite::Connection::open(self.dir.path().join("state/shadowprod.db")).unwrap();
        let mut select = store.prepare("SELECT bytes FROM segment WHERE rollup <> 'dedupe'").unwrap();
        let mut all = Vec::new();
        for bytes in select.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() {
            for rows in segments::decode(&bytes.unwrap()).unwrap() {
                let mut writer = arrow::json::LineDelimitedWriter::new(&mut all);
                writer.write(&rows).unwrap();
            }
        }
        all
    }
}

#[test]
fn no_planted_secret_is_in_anything_that_comes_out() {
    let Some((address, _shared)) = shared() else { return };
    let world = World::new();
    world.write_config(&address);
    world.send(&address);
    let config = world.config();
    let config = config.to_str().unwrap();
    let daemon = Daemon::start_at_level(&world.config(), "debug");
    until("everything is read", || {
        (daemon.metric("shadowprod_ingest_messages_total") as usize == world.messages()).then_some(())
    });
    until("what is broken is rejected, and nothing else", || {
        (daemon.metric("shadowprod_decode_rejects_total") as usize == world.rejects).then_some(())
    });
    until("findings are confirmed", || {
        daemon.get("/api/v1/findings").contains("\"confirmed\":true").then_some(())
    });
    let mut letters = Vec::new();
    each_letter(&address, &world.letters, world.rejects, |letter| {
        letters.extend_from_slice(letter.payload().unwrap());
        letters.extend_from_slice(letter.key().unwrap());
        letter.headers().unwrap().iter().for_each(|header| letters.extend_from_slice(header.value.unwrap()));
    });
    let markers = world.markers();
    world.check("the dead-letter topic", &letters, &markers);
    world.check_state(&[&markers[..], &[SUBJECT]].concat());
    for path in ["/api/v1/findings", "/api/v1/findings?format=ndjson"] {
        world.check(path, daemon.get(path).as_bytes(), &[SUBJECT]);
    }
    world.check("/metrics", daemon.get("/metrics").as_bytes(), &["shadowprod_decode_rejects_total{"]);
    world.check("/readyz", daemon.get("/readyz").as_bytes(), &["pipeline"]);
    check_commands(&world, &daemon, config, &markers);
    let log = daemon.stop();
    world.check("the log", log.as_bytes(), &["DEBUG", "metrics and health on", "stopping"]);
    world.check_state(&[SUBJECT]);
    check_files(&world, config);
}

/// What the commands print beside a running daemon.
fn check_commands(world: &World, daemon: &Daemon, config: &str, markers: &[&str]) {
    let list = ["findings", "list", "--state", "all", "--server", &daemon.grpc];
    world.check("findings list", &world.run(&list), &[SUBJECT]);
    let json = world.run(&[&list[..], &["--format", "json"]].concat());
    world.check("findings list as JSON", &json, &[SUBJECT]);
    let json = String::from_utf8_lossy(&json).into_owned();
    let id = &json[json.find("\"f_").unwrap() + 1..][..34];
    world.check("findings show", &world.run(&["findings", "show", id, "--server", &daemon.grpc]), &[id]);
    let listed = world.run(&["quarantine", "list", "--config", config]);
    world.check("quarantine list", &listed, &["not_json", "not_utf8", "trailing_bytes", "unknown_format"]);
    let json = world.run(&["quarantine", "list", "--config", config, "--format", "json"]);
    world.check("quarantine list as JSON", &json, markers);
    let again = world.run(&["quarantine", "retry", "--config", config, "--format", "json"]);
    world.check("quarantine retry", &again, &["\"outcome\":\"rejected\""]);
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let mut shown: BTreeMap<&str, &str> = BTreeMap::new();
    for fields in listed.lines().map(|line| line.split('\t').collect::<Vec<_>>()).filter(|f| f.len() > 3) {
        shown.insert(fields[2], fields[3]);
    }
    for id in shown.values() {
        let output = world.run(&["quarantine", "show", id, "--config", config]);
        world.check("quarantine show", &output, &[id, "harmless-"]);
    }
}

/// What the commands print that read the same messages from files.
fn check_files(world: &World, config: &str) {
    let folder = world.dir.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    let mut paths = Vec::new();
    for (topic, _, messages) in &world.logs {
        let path = folder.join(format!("{topic}.jsonl"));
        let lines: Vec<&[u8]> = messages.iter().map(Vec::as_slice).filter(|m| !m.contains(&b'\n')).collect();
        std::fs::write(&path, lines.join(&b'\n')).unwrap();
        paths.push(path);
    }
    let paths: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let decoded = world.run(&[&["decode", "--all-rejects"][..], &paths].concat());
    let formats: Vec<String> =
        Format::all().map(|format| format!("\"format\":\"{}\"", format.name())).collect();
    let formats: Vec<&str> = formats.iter().map(String::as_str).collect();
    world.check("decode", &decoded, &[&formats[..], &["trailing_bytes", "not_json"]].concat());
    let replayed = world.run(&["replay", "--config", config, "--input", folder.to_str().unwrap()]);
    world.check("replay", &replayed, &[SUBJECT]);
    let sources = format!("{} sources", Format::all().count() + 2);
    world.check("check", &world.run(&["check", "--config", config]), &[&sources]);
}
