//! The config's facts: what is read, and that each mistake is named at its place.

use super::*;

const GOOD: &str = r#"
[[source]]
topic = "gateway.envoy"
[registry]
path = "registry"
[state]
path = "state"
"#;

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<ConfigProblem>> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    match Config::parse(Path::new("conf/shadowprod.toml"), text, variables) {
        Ok(config) => Ok(config),
        Err(ConfigError::Invalid { problems, .. }) => Err(problems),
        Err(error @ ConfigError::Read { .. }) => panic!("{error}"),
    }
}

/// Each problem as `line:column message; fix` or `VARIABLE message; fix`.
fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let line = |p: ConfigProblem| match p.place {
        Place::Text { line, column, .. } => format!("{line}:{column} {}; {}", p.message, p.fix),
        Place::Variable(name) => format!("{name} {}; {}", p.message, p.fix),
    };
    parse(text, variables).err().unwrap_or_default().into_iter().map(line).collect()
}

/// `addition` is appended to a good config of 7 lines, so its own first line is 8.
fn check(addition: &str, expected: &[&str]) {
    assert_eq!(problems(&format!("{GOOD}{addition}"), &[]), expected, "{addition}");
}

#[test]
fn dead_letters_need_a_topic_of_their_own() {
    check("[dead_letter]\ntopic = \"shadowprod.rejects\"", &[]);
    check("[dead_letter]", &["8:2 `dead_letter.topic` is missing; add topic = \"...\""]);
    check(
        "[dead_letter]\ntopic = \"a b\"",
        &["9:9 `a b` is not a Kafka topic name; write 1 to 249 letters, digits, `.`, `_` or `-`"],
    );
    check(
        "[dead_letter]\ntopic = \"gateway.envoy\"",
        &[
            "9:9 `dead_letter.topic` is `gateway.envoy`, which a [[source]] reads: rejects would be rejected again without end; give dead letters a topic of their own",
        ],
    );
}

#[test]
fn each_mistake_is_named_at_its_line_with_its_fix() {
    check("", &[]);
    check("[kafka]\nbrokerz = \"a:1\"", &["9:1 unknown key `kafka.brokerz`; did you mean `brokers`?"]);
    check("[kafak]", &["8:2 unknown key `kafak`; did you mean `kafka`?"]);
    check(
        "[time]\ngrid_seconds = \"60\"",
        &[
            "9:16 `time.grid_seconds` is a string, expected a number from 0 to 4294967295; write a number from 0 to 4294967295",
        ],
    );
    check("[time]\nclock = \"wal\"", &["9:9 unknown time.clock `wal`; did you mean `wall`?"]);
    check(
        "[time]\ngrid_seconds = 7",
        &[
            "9:16 `time.grid_seconds` is 7, expected a divisor of 3600; write 60, or another divisor such as 10 or 300",
        ],
    );
    check(
        "[time]\ngrid_seconds = 0",
        &[
            "9:16 `time.grid_seconds` is 0, expected a divisor of 3600; write 60, or another divisor such as 10 or 300",
        ],
    );
    check(
        "[time]\nlateness_seconds = 100000",
        &["9:20 `time.lateness_seconds` is 100000, expected at most 86400; write 1800 for audit logs"],
    );
    check(
        "[serve]\nhttp = \"0.0.0.0:9464\"",
        &[
            "9:8 `serve.http` is 0.0.0.0:9464, expected a loopback address: there is no TLS yet; write 127.0.0.1:9464, and put a proxy with TLS before it",
        ],
    );
    check(
        "[serve]\nhttp = \"9464\"",
        &[
            "9:8 `serve.http`: invalid socket address syntax; write an address and a port such as 127.0.0.1:9464",
        ],
    );
    check(
        "[serve]\nhttp = \"[::1]:50551\"\ngrpc = \"[::1]:50551\"",
        &["9:8 `serve.http` and `serve.grpc` are both [::1]:50551; give each its own port"],
    );
    check(
        "[[source]]\ntopic = \"gateway.envoy\"\nformat = \"envoi\"",
        &[
            "9:9 source.topic `gateway.envoy` is taken already, by line 3; give each topic one [[source]]",
            "10:10 unknown format `envoi`; did you mean `envoy`?",
        ],
    );
    check("[[source]]\nname = \"x\"", &["8:1 `source.topic` is missing; add topic = \"...\""]);
    check("[[source]]\ntopc = \"x\"", &["9:1 unknown key `source.topc`; did you mean `topic`?"]);
    check(
        "[[source]]\ntopic = \"a b\"",
        &["9:9 `a b` is not a Kafka topic name; write 1 to 249 letters, digits, `.`, `_` or `-`"],
    );
    check(
        "[notify]\nalertmanagers = [\"http://127.0.0.1:9093\",\n\"127.0.0.1:9093\"]\nseverity_min = \"hihg\"",
        &[
            "10:1 not the base URL of an Alertmanager: it starts with neither http:// nor https://; write http://host:port or https://host:port/prefix",
            "11:16 unknown severity `hihg`; did you mean `high`?",
        ],
    );
    check(
        "[kafka]\nbrokers = \"localhost:9092, other\"",
        &["9:11 ` other` is not a broker's address; write host:port,host:port"],
    );
}

#[test]
fn mistakes_in_a_layout_are_named_at_its_keys() {
    check("[layout.edge.fields]\nevent_time = \"ts\"\nhost = [\"h\", \"/req/host\"]", &[]);
    check(
        "[layout.edge]",
        &["8:9 `layout.edge.fields.event_time` is missing; name the field that says when it happened"],
    );
    check(
        "[layout.envoy.fields]\nevent_time = \"ts\"",
        &["8:9 `envoy` is a format that shadowprod knows itself; give the layout a name of its own"],
    );
    check(
        "[layout.edge.fields]\nevent_time = \"ts\"\nuseragent = \"ua\"",
        &["10:1 a layout has no field `useragent`; did you mean `user_agent`?"],
    );
    check(
        "[layout.edge.fields]\nevent_time = \"/a~b\"",
        &[
            "9:14 `/a~b` has a `~` that is neither `~0` nor `~1`, expected a field's name; write user_agent, or /request/headers/user-agent",
        ],
    );
    check(
        "[layout.edge]\ncredential_kind = \"apikey\"\n[layout.edge.fields]\nevent_time = \"ts\"",
        &["9:19 unknown credential_kind `apikey`; did you mean `api_token`?"],
    );
    check(
        "[layout.edge.fields]\nevent_time = 7",
        &[
            "9:14 `layout.edge.fields.event_time` is an integer, expected the name of a field in quotes, or a list of names in [ ]; write the name of a field in quotes, or a list of names in [ ]",
        ],
    );
    let source = GOOD.replace("\"gateway.envoy\"", "\"gateway.envoy\"\nformat = \"edge\"");
    let text = format!("{source}[layout.edge.fields]\nevent_time = \"ts\"");
    assert_eq!(problems(&text, &[]), Vec::<String>::new());
    assert_eq!(problems(&source, &[])[0].split(';').next(), Some("4:10 unknown format `edge`"));
}

#[test]
fn what_is_missing_at_the_top_is_named_all_at_once() {
    let expected = [
        "1:1 `source` is missing; add a [[source]] with topic = \"...\"",
        "1:1 `registry.path` is missing; add [registry] with path = \"...\"",
        "1:1 `state.path` is missing; add [state] with path = \"...\"",
    ];
    assert_eq!(problems("", &[]), expected);
    let text = GOOD.replace("path = \"state\"", "pth = \"state\"");
    assert_eq!(problems(&text, &[]), ["7:1 unknown key `state.pth`; did you mean `path`?"]);
}

#[test]
fn every_syntax_error_is_named() {
    let found = problems("[kafka]\nbrokers =\ngroup = \"x\n[[source]\n", &[]);
    let places: Vec<&str> =
        found.iter().filter_map(|p| p.split_once(" not valid TOML: ")).map(|p| p.0).collect();
    assert_eq!(places, ["2:10", "3:11", "4:10"], "{found:?}");
}

#[test]
fn kafka_properties_that_break_guarantees_are_refused_with_the_reason() {
    for (name, reason) in [
        ("enable.auto.commit", "committed with the findings"),
        ("enable.auto.offset.store", "committed with the findings"),
        ("auto.offset.reset", "a lost offset must be an error"),
        ("isolation.level", "aborted transactions"),
        ("group.instance.id", "assigned by hand"),
        ("bootstrap.servers", "set kafka.brokers instead"),
        ("check.crcs", "every byte"),
    ] {
        let found = problems(&format!("{GOOD}[kafka.properties]\n\"{name}\" = \"x\""), &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("9:1 Kafka property `{name}` is not yours to set")),
            "{found:?}"
        );
        assert!(found[0].contains(reason), "{found:?}");
    }
    check(
        "[kafka.properties]\nsecurity.protocol = \"ssl\"",
        &["9:1 `kafka.properties.security` is a table, expected text in quotes; write text in quotes"],
    );
}

#[test]
fn secrets_are_in_no_error_and_in_no_debug_output() {
    let secret = "hunter2";
    let mistakes = [
        format!("[kafka]\nproperties = \"{secret}\""),
        format!("[kafka.properties]\n\"sasl.password\" = [\"{secret}\"]"),
        format!("[kafka.properties]\n\"auto.offset.reset\" = \"{secret}\""),
        format!("[notify]\nalertmanagers = [\"http://user:{secret}@host:1\"]"),
        format!("[notify]\nalertmanagers = \"{secret}\""),
    ];
    for mistake in mistakes {
        let found = problems(&format!("{GOOD}{mistake}"), &[]);
        assert_eq!(found.len(), 1, "{mistake}: {found:?}");
        assert!(!found[0].contains(secret), "{found:?}");
    }
    let config = parse(&format!("{GOOD}[kafka.properties]\n\"sasl.password\" = \"{secret}\""), &[]).unwrap();
    assert!(!format!("{config:?}").contains(secret));
    assert_eq!(config.kafka.all_properties().unwrap()["sasl.password"], secret);
    let numeric = problems(&format!("{GOOD}[kafka.properties]\n\"sasl.password\" = 4711"), &[]);
    assert!(!numeric[0].contains("4711"), "{numeric:?}");
}

#[test]
fn secrets_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("{GOOD}[kafka.properties_file]\n\"sasl.password\" = \"secret\"");
    let path = folder.path().join("shadowprod.toml");
    let error = Config::parse(&path, &text, []).unwrap_err().to_string();
    assert!(error.contains("shadowprod.toml:9:19: the file with `sasl.password`"), "{error}");
    std::fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    let config = Config::parse(&path, &text, []).unwrap();
    assert_eq!(config.kafka.all_properties().unwrap()["sasl.password"], "hunter2");
    let twice = format!("{text}\n[kafka.properties]\n\"sasl.password\" = \"x\"");
    let error = Config::parse(&path, &twice, []).unwrap_err().to_string();
    assert!(error.contains("`sasl.password` also stands in kafka.properties"), "{error}");
}

#[test]
fn the_environment_overrides_any_key() {
    let variables = [
        ("SHADOWPROD__KAFKA__BROKERS", "b1:9092"),
        ("SHADOWPROD__KAFKA__GROUP", "007"),
        ("SHADOWPROD__KAFKA__PROPERTIES__SASL_USERNAME", "true"),
        ("SHADOWPROD__SOURCE__0__TOPIC", "other"),
        ("SHADOWPROD__SOURCE__2__TOPIC", "third"),
        ("SHADOWPROD__SOURCE__1__TOPIC", "second"),
        ("SHADOWPROD__SOURCE__1__DEDUPE", "false"),
        ("SHADOWPROD__TIME__GRID_SECONDS", "10"),
        ("SHADOWPROD__QUERIES__PATH", "/q"),
        ("SHADOWPROD__NOTIFY__ALERTMANAGERS", "[\"http://a:1\"]"),
        ("SHADOWPROD__NOTIFY__ALERTMANAGERS__1", "http://b:1"),
        ("SHADOWPROD_TEST_KAFKA", "not ours"),
    ];
    let config = parse(GOOD, &variables).unwrap();
    assert_eq!(config.kafka.brokers, "b1:9092");
    assert_eq!(config.kafka.group, "007", "what looks like a number may be text");
    assert_eq!(config.kafka.properties["sasl.username"], "true");
    let topics: Vec<_> = config.sources.iter().map(|s| s.topic.as_str()).collect();
    assert_eq!(topics, ["other", "second", "third"]);
    assert_eq!(config.sources[1].dedupe, Some(false));
    assert_eq!(config.time.grid_seconds, 10);
    assert_eq!(config.queries.unwrap().path, Path::new("/q"));
    assert_eq!(config.notify.alertmanagers, ["http://a:1", "http://b:1"]);
}

#[test]
fn a_mistake_in_the_environment_names_the_variable() {
    let variables = [
        ("SHADOWPROD__KAFKA__BROKER", "b1:9092"),
        ("SHADOWPROD__SOURCE__5__TOPIC", "x"),
        ("SHADOWPROD__TIME__GRID_SECONDS", "1.5"),
        ("SHADOWPROD__SERVE__GRPC", "0.0.0.0:1"),
    ];
    let found = problems(GOOD, &variables);
    let expected = [
        "SHADOWPROD__SOURCE__5__TOPIC `source.topic` cannot be set here; number list elements from 0 without a hole, and name keys of tables",
        "SHADOWPROD__KAFKA__BROKER unknown key `kafka.broker`; did you mean `brokers`?",
        "SHADOWPROD__TIME__GRID_SECONDS `time.grid_seconds` is a string, expected a number from 0 to 4294967295; write a number from 0 to 4294967295",
        "SHADOWPROD__SERVE__GRPC `serve.grpc` is 0.0.0.0:1, expected a loopback address: there is no TLS yet; write 127.0.0.1:1, and put a proxy with TLS before it",
    ];
    assert_eq!(found, expected);
}

#[test]
fn relative_paths_start_at_the_config_files_folder() {
    let config = parse(&format!("{GOOD}[queries]\npath = \"/etc/queries\""), &[]).unwrap();
    assert_eq!(config.registry.path, Path::new("conf/registry"));
    assert_eq!(config.state.path, Path::new("conf/state"));
    assert_eq!(config.queries.unwrap().path, Path::new("/etc/queries"));
}

#[test]
fn defaults_are_what_the_manual_says() {
    let config = parse(GOOD, &[]).unwrap();
    assert_eq!(config.kafka.group, "shadowprod");
    assert_eq!(config.time.clock, Clock::Wall);
    assert_eq!((config.time.grid_seconds, config.time.lateness_seconds), (60, 1_800));
    assert_eq!(config.serve.grpc.to_string(), "127.0.0.1:50551");
    assert_eq!(config.serve.http.to_string(), "127.0.0.1:9464");
    assert_eq!(config.sources[0].name(), "gateway.envoy");
    assert_eq!(config.sources[0].format, "auto");
}

#[test]
fn the_example_config_is_valid() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/shadowprod.toml");
    let text = std::fs::read_to_string(&example).unwrap();
    let config = Config::parse(&example, &text, []).unwrap();
    assert_eq!(config.sources.len(), 4);
    let uncommented: String = text
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").filter(is_toml).unwrap_or(line)))
        .collect();
    let found = problems(&uncommented, &[]);
    assert_eq!(found.len(), 1, "only the secret's file is missing: {found:?}");
}

/// Whether a comment line is an example that could be switched on.
fn is_toml(line: &&str) -> bool {
    line.starts_with('[') || line.contains(" = ")
}

#[test]
fn a_config_that_cannot_be_read_is_named() {
    let error = Config::load(Path::new("no/such/file.toml")).unwrap_err().to_string();
    assert!(error.starts_with("no/such/file.toml: No such file"), "{error}");
}
