//! The store's facts: what was committed comes back, what was not is gone, what is damaged is named.

mod copy;

use jiff::Timestamp;

use super::quarantine::SampleBounds;
use super::*;
use crate::decode::{Reject, RejectReason, RejectedPayload};
use crate::findings::{ChangeKind, Evidence, Finding, FindingState, Owner, Parameter, Severity, Subject};
use crate::ingest::Seam;
use crate::losses::{LossKey, LossKind};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_770_000_000 + second).unwrap()
}

fn finding(id: &str, severity: Severity, last_seen: i64) -> Finding {
    Finding {
        finding_id: id.to_owned(),
        detection: "shared-credential".to_owned(),
        detection_version: 1,
        subject: Subject { kind: "credential".to_owned(), id: format!("c_{id}") },
        severity,
        score: 0.1 + 0.2,
        coverage: 1.0 / 3.0,
        state: FindingState::Open,
        owner: Owner {
            person: "ada".to_owned(),
            role: "credential_owner".to_owned(),
            contact: String::new(),
        },
        confirmed: true,
        first_seen: at(0),
        last_seen: at(last_seen),
        episode: 1,
        reopened: 0,
        evidence: vec![
            Evidence::Term { name: "human".to_owned(), value: Some(0.948_217_304_655_119_2) },
            Evidence::Term { name: "propagation".to_owned(), value: None },
            Evidence::Query {
                id: "shared-credential".to_owned(),
                version: 1,
                sha256: "00".repeat(32),
                parameters: vec![Parameter { name: "open_at".to_owned(), value: 2.0 / 3.0 }],
            },
            Evidence::Sample { topic: "okta.system".to_owned(), partition: 3, offset: 41 },
        ],
        title: "One key, people and machines".to_owned(),
        explanation: "A quote \" and a ü survive.".to_owned(),
    }
}

fn tracked(finding: Finding) -> Tracked {
    Tracked { finding, quiet_since: Some(at(7)), resolved_at: None, early_at: None }
}

fn change(kind: ChangeKind, finding: Finding) -> FindingChange {
    FindingChange { kind, at: at(60), finding }
}

/// One finding, opened or refreshed, as the state machine hands it over.
fn step(kind: ChangeKind, finding: Finding) -> Commit {
    Commit {
        changes: vec![change(kind, finding.clone())],
        tracked: vec![tracked(finding)],
        ..Commit::default()
    }
}

fn position(topic: u16, partition: i32, offset: i64) -> Position {
    Position { topic, partition, offset }
}

fn reject(offset: i64) -> Reject {
    Reject {
        position: position(0, 0, offset),
        index: 0,
        source: "okta".to_owned(),
        reason: RejectReason::NotJson,
        detail: "expected a value".to_owned(),
        format: None,
        message_hash: u64::MAX - 7,
        content_hash: 5,
        payload: RejectedPayload::of_masked("{".to_owned()),
    }
}

fn quarantined_as(reject: Reject) -> Quarantined {
    Quarantined {
        topic: topics()[1 - usize::from(reject.position.topic)].clone(),
        reject,
        at_micros: 1_770_000_000_000_000,
    }
}

fn segment(rollup: &str, byte: u8) -> NewSegment {
    NewSegment { rollup: rollup.to_owned(), version: 2, sha256: "ab".repeat(32), bytes: vec![byte; 300] }
}

fn full_commit() -> Commit {
    Commit {
        checkpoints: vec![Checkpoint {
            position: position(1, 4, 1_000),
            seam: Some(Seam {
                offset: 999,
                payload_hash: u64::MAX - 3,
                timestamp_ms: Some(1_770_000_000_123),
            }),
        }],
        segments: vec![segment("pilot_traffic", 1), segment("sessions", 2)],
        dropped_segments: vec![],
        changes: vec![change(ChangeKind::Opened, finding("f_1", Severity::High, 5))],
        tracked: vec![tracked(finding("f_1", Severity::High, 5))],
        rejects: {
            let mut rejects = Rejects::default();
            rejects.add(quarantined_as(reject(3)));
            rejects
        },
        dead_letters: {
            let mut letters = DeadLetters::default();
            letters.add(&quarantined_as(reject(3)));
            letters
        },
        losses: vec![loss(5, 30)],
        losses_since: 0,
        clock: ClockState {
            watermark_micros: 40,
            partitions: vec![(position(0, 0, 9), 77, true), (position(1, 4, 1_000), 60, false)],
            newest_event_micros: 77,
        },
        control: vec![ControlEvent { at_seq: 4, kind: "idle".to_owned(), body: "{}".to_owned() }],
        versions: Some(Versions {
            registry: "cd".repeat(32),
            queries: vec![("shared-credential".to_owned(), 1, "ef".repeat(32))],
            starts: vec![("pilot_traffic".to_owned(), 41)],
        }),
    }
}

fn topics() -> Vec<String> {
    vec!["okta.system".to_owned(), "aws.cloudtrail".to_owned()]
}

fn fresh(dir: &Path) -> Store {
    let (mut store, _) = Store::open(dir).unwrap();
    store.register_topics(&topics()).unwrap();
    store
}

fn memory(bounds: Bounds) -> Store {
    let (mut store, _) = Store::in_memory().unwrap();
    Arc::get_mut(&mut store.writer).expect("nobody else holds it").bounds = bounds;
    store.register_topics(&topics()).unwrap();
    store
}

fn sql(dir: &Path, statement: &str) -> usize {
    Connection::open(dir.join("shadowprod.db")).unwrap().execute(statement, []).unwrap()
}

#[test]
fn what_was_committed_comes_back_after_a_reopen() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path());
    let outcome = store.commit(&full_commit()).unwrap();
    assert_eq!(outcome, CommitOutcome { change_seq: 1, segment_ids: vec![1, 2], dropped_letters: 0 });
    drop(store);

    let (store, recovered) = Store::open(dir.path()).unwrap();
    let commit = full_commit();
    assert_eq!(recovered.checkpoints, commit.checkpoints);
    assert_eq!(recovered.topics, ["aws.cloudtrail", "okta.system"]);
    assert_eq!(recovered.tracked, commit.tracked);
    assert_eq!(recovered.clock, commit.clock);
    assert_eq!(recovered.versions, commit.versions);
    assert_eq!(recovered.change_seq, 1);
    let segments = store.segments().unwrap();
    let kept: Vec<_> = segments.iter().map(|s| (s.id, s.rollup.as_str(), s.bytes[0])).collect();
    assert_eq!(kept, [(1, "pilot_traffic", 1), (2, "sessions", 2)]);
    assert_eq!(store.reject_totals().unwrap(), [("not_json".to_owned(), 1)]);
    assert!(store.size_bytes().unwrap() > 4_096);
}

/// What the versions had in their time where today's has something else.
const AS_VERSION_4: &str = "
    ALTER TABLE checkpoint DROP COLUMN last_offset;
    UPDATE meta SET value = 4 WHERE key = 'schema_version';";
const AS_VERSION_3: &str = "
    ALTER TABLE checkpoint DROP COLUMN last_offset;
    DROP TABLE loss;
    UPDATE meta SET value = 3 WHERE key = 'schema_version';";

/// A state of an older schema version with everything in it.
fn older(dir: &Path, version: i64, as_version: &str) {
    let mut store = fresh(dir);
    store.commit(&full_commit()).unwrap();
    drop(store);
    let connection = Connection::open(dir.join("shadowprod.db")).unwrap();
    connection.execute_batch(as_version).unwrap();
    // Its checksum over the rows on which everything hangs did not know of what came later.
    let Err(StoreError::CorruptControl { found, .. }) = control::check_older(&connection, version) else {
        panic!("its checksum is that of another version");
    };
    sqlite::set_meta(&connection, "control_checksum", &found.cast_signed()).unwrap();
}

#[test]
fn state_of_an_older_version_is_migrated_and_damage_in_it_is_not_sealed() {
    for (version, as_version, losses) in
        [(3, AS_VERSION_3, Vec::new()), (4, AS_VERSION_4, full_commit().losses)]
    {
        let dir = tempfile::tempdir().unwrap();
        older(dir.path(), version, as_version);
        let (mut store, recovered) = Store::open(dir.path()).unwrap();
        assert_eq!((recovered.tracked, recovered.losses), (full_commit().tracked, losses));
        assert_eq!(recovered.checkpoints, full_commit().checkpoints);
        store.commit(&Commit { losses: vec![loss(7, 3)], losses_since: 7, ..full_commit() }).unwrap();
        drop(store);
        assert_eq!(damaged_parts(dir.path()), []);
        assert_eq!(Store::open(dir.path()).unwrap().1.losses, [loss(7, 3)]);

        let dir = tempfile::tempdir().unwrap();
        older(dir.path(), version, as_version);
        assert_eq!(sql(dir.path(), "UPDATE checkpoint SET next_offset = next_offset + 1"), 1);
        let error = Store::open(dir.path()).err().unwrap();
        assert!(matches!(error, StoreError::CorruptControl { .. }), "{error}");
        let still =
            format!("UPDATE meta SET value = {version} WHERE key = 'schema_version' AND value = {version}");
        assert_eq!(sql(dir.path(), &still), 1);
    }
}

#[test]
fn last_message_that_stands_far_before_the_next_offset_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path());
    let mut commit = full_commit();
    commit.checkpoints[0].position.offset = 1_003;
    commit.checkpoints.push(Checkpoint { position: position(0, 0, 9), seam: None });
    store.commit(&commit).unwrap();
    drop(store);
    let (store, recovered) = Store::open(dir.path()).unwrap();
    commit.checkpoints.reverse();
    assert_eq!(recovered.checkpoints, commit.checkpoints);
    drop(store);
    assert_eq!(sql(dir.path(), "UPDATE checkpoint SET last_offset = last_offset + 1"), 2);
    assert_eq!(damaged_parts(dir.path()), [verify::Part::Control]);
}

/// Messages of one source that were gone.
fn loss(since: i64, amount: i64) -> Loss {
    let key = LossKey { since, kind: LossKind::RetentionGap, subject: "okta".to_owned() };
    Loss { key, times: 1, amount, samples: Some((5, 9)) }
}

#[test]
fn losses_grow_are_forgotten_by_age_and_a_row_that_goes_missing_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path());
    let other =
        Loss { key: LossKey { kind: LossKind::Overflow, ..loss(8, 1).key }, samples: None, ..loss(8, 1) };
    store.commit(&Commit { losses: vec![loss(7, 3), other.clone()], ..full_commit() }).unwrap();
    store.commit(&Commit { losses: vec![loss(7, 5), loss(9, 1)], ..Commit::default() }).unwrap();
    drop(store);
    let (mut store, recovered) = Store::open(dir.path()).unwrap();
    assert_eq!(recovered.losses, [loss(7, 5), other.clone(), loss(9, 1)]);
    store.commit(&Commit { losses_since: 8, ..Commit::default() }).unwrap();
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().1.losses, [other, loss(9, 1)]);
    assert_eq!(sql(dir.path(), "DELETE FROM loss WHERE since_micros = 9"), 1);
    assert_eq!(damaged_parts(dir.path()), [verify::Part::Control]);
    assert!(matches!(Store::open(dir.path()).err(), Some(StoreError::CorruptControl { .. })));
}

const AS_VERSION_2: &str = "
    ALTER TABLE checkpoint DROP COLUMN last_offset;
    DROP TABLE loss;
    DROP TABLE rollup_start;
    ALTER TABLE finding_past DROP COLUMN checksum;
    ALTER TABLE change DROP COLUMN checksum;
    ALTER TABLE quarantine DROP COLUMN checksum;
    ALTER TABLE dead_letter DROP COLUMN checksum;
    ALTER TABLE control DROP COLUMN checksum;
    DELETE FROM meta WHERE key = 'control_checksum';
    UPDATE meta SET value = 2 WHERE key = 'schema_version';";

/// A state of schema version 2 with everything in it.
fn version_2(dir: &Path) {
    let mut store = fresh(dir);
    store.commit(&full_commit()).unwrap();
    drop(store);
    let connection = Connection::open(dir.join("shadowprod.db")).unwrap();
    connection.execute_batch(AS_VERSION_2).unwrap();
    let body: String = connection.query_row("SELECT body FROM finding", [], |row| row.get(0)).unwrap();
    let checksum = xxhash_rust::xxh3::xxh3_64(body.as_bytes()).cast_signed();
    assert_eq!(connection.execute("UPDATE finding SET checksum = ?", [checksum]).unwrap(), 1);
}

#[test]
fn state_of_the_version_before_is_migrated_and_means_the_same() {
    let dir = tempfile::tempdir().unwrap();
    version_2(dir.path());
    let message = Reader::open(dir.path()).err().unwrap().to_string();
    assert!(
        message.contains("schema version 2, this program reads version 5; start its daemon"),
        "{message}"
    );
    let (mut store, recovered) = Store::open(dir.path()).unwrap();
    assert_eq!(recovered.tracked, full_commit().tracked);
    assert_eq!(recovered.checkpoints, full_commit().checkpoints);
    assert_eq!(recovered.versions.unwrap().starts, []);
    assert_eq!(damaged_parts(dir.path()), []);
    store.commit(&full_commit()).unwrap();
    assert_eq!(store.versions().unwrap(), full_commit().versions);
    assert_eq!(store.segments_of(&["sessions".to_owned()]).unwrap(), [2, 4]);
    drop(store);
    assert_eq!(damaged_parts(dir.path()), []);
    Store::open(dir.path()).unwrap();
}

#[test]
fn damage_in_a_state_of_the_version_before_is_not_sealed_by_its_migration() {
    let dir = tempfile::tempdir().unwrap();
    version_2(dir.path());
    assert_eq!(sql(dir.path(), "UPDATE finding SET body = replace(body, 'ada', 'eve')"), 1);
    for _ in 0..2 {
        let error = Store::open(dir.path()).err().unwrap();
        assert!(matches!(error, StoreError::CorruptRow { table: "finding", .. }), "{error}");
    }
    let count = |sql| {
        Connection::open(dir.path().join("shadowprod.db")).unwrap().query_row(sql, [], |row| row.get(0))
    };
    assert_eq!(count("SELECT value FROM meta WHERE key = 'schema_version'"), Ok(2), "nothing is migrated");
    assert_eq!(count("SELECT count(*) FROM sqlite_schema WHERE name = 'rollup_start'"), Ok(0));
}

#[test]
fn numbers_in_a_finding_survive_bit_for_bit() {
    let mut store = memory(Bounds::default());
    let seed = 11;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut written = finding("f_1", Severity::Low, 0);
    let term = |n| Evidence::Term { name: format!("t{n}"), value: Some(random.f64()) };
    written.evidence.extend((0..2_000).map(term));
    store.commit(&step(ChangeKind::Opened, written.clone())).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.get("f_1").unwrap(), Some(written.clone()));
    let changes = reader.changes_after(0, 10).unwrap().unwrap();
    assert_eq!(changes, [(1, change(ChangeKind::Opened, written))]);
}

#[test]
fn segments_are_replaced_in_the_commit_that_brings_their_successor() {
    let mut store = memory(Bounds::default());
    store.commit(&full_commit()).unwrap();
    let merged =
        Commit { segments: vec![segment("sessions", 9)], dropped_segments: vec![1, 2], ..Commit::default() };
    assert_eq!(store.commit(&merged).unwrap().segment_ids, [3], "ids are never used twice");
    let kept = store.segments().unwrap();
    assert_eq!(kept.iter().map(|s| (s.id, s.bytes[0])).collect::<Vec<_>>(), [(3, 9)]);
}

#[test]
fn an_unfinished_transaction_leaves_the_old_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path());
    store.commit(&full_commit()).unwrap();
    {
        let mut connection = locked(&store.writer.connection);
        let transaction = connection.transaction().unwrap();
        let mut next = step(ChangeKind::Updated, finding("f_1", Severity::Critical, 99));
        next.checkpoints = vec![Checkpoint { position: position(1, 4, 2_000), seam: None }];
        next.dropped_segments = vec![1, 2];
        write::write(&transaction, &next, &Bounds::default(), &CrashPoints::default()).unwrap();
    }
    drop(store);
    let (store, recovered) = Store::open(dir.path()).unwrap();
    assert_eq!(recovered.checkpoints, full_commit().checkpoints);
    assert_eq!(recovered.tracked, full_commit().tracked);
    assert_eq!(recovered.segments.len(), 2);
    assert_eq!(store.verify_chain().unwrap(), 1);
}

#[test]
fn after_a_failed_commit_the_store_refuses_everything() {
    let mut store = memory(Bounds::default());
    let unknown_topic = Commit {
        checkpoints: vec![Checkpoint { position: position(9, 0, 1), seam: None }],
        ..step(ChangeKind::Opened, finding("f_1", Severity::Low, 0))
    };
    let error = store.commit(&unknown_topic).unwrap_err();
    assert_eq!(error.action(), StoreAction::StopAndRecover);
    assert!(matches!(store.commit(&Commit::default()), Err(StoreError::Stopped)));
    assert_eq!(store.reader().unwrap().get("f_1").unwrap(), None, "nothing of the failed commit is there");
}

#[test]
fn a_second_open_is_refused_and_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = fresh(dir.path());
    let error = Store::open(dir.path()).err().unwrap();
    assert_eq!(error.action(), StoreAction::RefuseToStart);
    let message = error.to_string();
    assert!(message.contains(&format!("in use by process {}", std::process::id())), "{message}");
    drop(first);
    Store::open(dir.path()).unwrap();
}

#[test]
fn state_goes_on_under_its_own_credential_key_only() {
    let dir = tempfile::tempdir().unwrap();
    fresh(dir.path()).bind_credential_key("c_1").unwrap();
    let (mut store, _) = Store::open(dir.path()).unwrap();
    store.bind_credential_key("c_1").unwrap();
    let error = store.bind_credential_key("c_2").unwrap_err();
    assert!(matches!(error, StoreError::OtherCredentialKey), "{error}");
    assert_eq!(error.action(), StoreAction::RefuseToStart);
}

#[test]
fn a_foreign_or_newer_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(fresh(dir.path()));
    sql(dir.path(), "UPDATE meta SET value = 99 WHERE key = 'schema_version'");
    let message = Store::open(dir.path()).err().unwrap().to_string();
    assert!(message.contains("schema version 99, this program reads version 5"), "{message}");

    let other = tempfile::tempdir().unwrap();
    sql(other.path(), "CREATE TABLE recipes (id INTEGER)");
    assert!(matches!(Store::open(other.path()), Err(StoreError::NotOurs { .. })));

    let text = tempfile::tempdir().unwrap();
    std::fs::write(text.path().join("shadowprod.db"), "not a database, but long enough to be one".repeat(50))
        .unwrap();
    assert!(matches!(Store::open(text.path()), Err(StoreError::NotOurs { .. })));
}

#[test]
fn a_damaged_blob_is_named_and_never_used() {
    let damage = [
        ("UPDATE segment SET bytes = zeroblob(300) WHERE id = 2", "segment 2 of rollup sessions is damaged"),
        ("UPDATE finding SET body = replace(body, 'ada', 'eve')", "row f_1 of table finding is damaged"),
    ];
    for (statement, expected) in damage {
        let dir = tempfile::tempdir().unwrap();
        let mut store = fresh(dir.path());
        store.commit(&full_commit()).unwrap();
        drop(store);
        assert_eq!(sql(dir.path(), statement), 1);
        let error = Store::open(dir.path()).and_then(|(store, _)| store.segments()).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.action(), StoreAction::Rebuild);
    }
}

#[test]
fn damaged_offsets_times_and_versions_are_never_used() {
    let damage = [
        "UPDATE checkpoint SET next_offset = next_offset + 1",
        "UPDATE checkpoint SET last_payload_hash = last_payload_hash + 1",
        "UPDATE clock_partition SET newest_event_micros = newest_event_micros + 1",
        "UPDATE meta SET value = value + 1 WHERE key = 'watermark_micros'",
        "UPDATE topic SET name = name || 's' WHERE number = 0",
        "UPDATE version_in_force SET sha256 = sha256 || '0' WHERE kind = 'registry'",
        "UPDATE rollup_start SET since_micros = since_micros + 1",
        "UPDATE meta SET value = value + 1 WHERE key = 'control_checksum'",
    ];
    for statement in damage {
        let dir = tempfile::tempdir().unwrap();
        let mut store = fresh(dir.path());
        store.commit(&full_commit()).unwrap();
        drop(store);
        assert_eq!(damaged_parts(dir.path()), []);
        assert!(sql(dir.path(), statement) > 0, "{statement} touches nothing");
        let error = Store::open(dir.path()).err().unwrap();
        assert!(matches!(error, StoreError::CorruptControl { .. }), "{statement}: {error}");
        assert_eq!(error.action(), StoreAction::Rebuild);
        assert_eq!(damaged_parts(dir.path()), [verify::Part::Control], "{statement}");
    }
}

fn damaged_parts(dir: &Path) -> Vec<verify::Part> {
    let verified = verify::verify(dir).unwrap();
    verified.parts.iter().filter(|p| !p.damage.is_empty()).map(|p| p.part).collect()
}

#[test]
fn verify_names_the_part_that_is_damaged_and_the_head_of_the_history() {
    use verify::Part;
    let damage = [
        ("UPDATE segment SET bytes = zeroblob(300) WHERE id = 2", &[Part::Segments][..]),
        ("UPDATE segment SET rollup = 'other' WHERE id = 2", &[Part::Control]),
        ("UPDATE finding SET body = replace(body, 'ada', 'eve')", &[Part::Findings]),
        ("UPDATE finding SET severity = 1", &[Part::Findings]),
        (
            "DROP TRIGGER revision_is_never_changed; UPDATE revision SET at = '2026-01-01T00:00:00Z'",
            &[Part::Control, Part::History],
        ),
        ("UPDATE change SET kind = 'resolved'", &[Part::Changes]),
        ("UPDATE quarantine SET detail = ''", &[Part::Quarantine]),
        ("UPDATE control SET body = body || ' '", &[Part::Journal]),
        ("DELETE FROM change WHERE seq = (SELECT max(seq) FROM change)", &[Part::Changes]),
        (
            "UPDATE dead_letter SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM dead_letter)",
            &[Part::Quarantine],
        ),
        ("UPDATE reject_count SET rejects = rejects + 1", &[Part::Control]),
    ];
    for (statements, parts) in damage {
        let dir = tempfile::tempdir().unwrap();
        let mut store = fresh(dir.path());
        store.commit(&full_commit()).unwrap();
        let head = store.history().unwrap().last().unwrap().hash.clone();
        assert_eq!(verify::verify(dir.path()).unwrap().head, head, "beside its writer");
        drop(store);
        Connection::open(dir.path().join("shadowprod.db")).unwrap().execute_batch(statements).unwrap();
        assert_eq!(damaged_parts(dir.path()), parts, "{statements}");
        let verified = verify::verify(dir.path()).unwrap();
        let damage: Vec<&String> = verified.parts.iter().flat_map(|p| &p.damage).collect();
        assert!(damage.iter().all(|d| !d.contains("state folder")), "what to do is said once: {damage:?}");
    }
}

fn two_commits(dir: &Path) {
    let mut store = fresh(dir);
    store.commit(&full_commit()).unwrap();
    store.commit(&step(ChangeKind::Resolved, finding("f_1", Severity::High, 7))).unwrap();
}

/// Where in the database of `dir` the first page of a table or an index begins that holds rows.
fn first_leaf(dir: &Path, name: &str) -> usize {
    let sql =
        "SELECT pgoffset FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' AND ncell > 0 ORDER BY pageno";
    let connection = Connection::open(dir.join("shadowprod.db")).unwrap();
    let place: rusqlite::Result<i64> = connection.query_row(sql, [name], |row| row.get(0));
    place.unwrap_or_else(|e| panic!("{name} has no rows: {e}")) as usize
}

/// A row that its page does not count any more leaves no checksum behind that could differ.
#[test]
fn a_row_that_its_page_forgot_is_noticed() {
    let lost = [
        "finding",
        "finding_by_order",
        "finding_by_state",
        "quarantine",
        "quarantine_by_rank",
        "sqlite_autoindex_quarantine_1",
        "dead_letter",
        "change",
        "revision",
        "loss",
        "segment",
        "reject_count",
    ];
    for name in lost {
        let dir = tempfile::tempdir().unwrap();
        two_commits(dir.path());
        let page = first_leaf(dir.path(), name);
        let path = dir.path().join("shadowprod.db");
        let mut database = std::fs::read(&path).unwrap();
        // The number of cells: <https://www.sqlite.org/fileformat2.html#b_tree_pages>.
        let cells = u16::from_be_bytes([database[page + 3], database[page + 4]]) - 1;
        database[page + 3..page + 5].copy_from_slice(&cells.to_be_bytes());
        std::fs::write(&path, &database).unwrap();
        let read = everything(dir.path());
        assert!(read.is_err(), "{name}: {read:?}");
    }
}

/// A number that is another is a row at another place, whose own columns are what was written.
#[test]
fn rows_that_are_not_numbered_as_they_were_are_not_handed_out() {
    let renumbered = [
        "UPDATE dead_letter SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM dead_letter)",
        "DELETE FROM change WHERE seq = (SELECT max(seq) FROM change)",
    ];
    for statement in renumbered {
        let dir = tempfile::tempdir().unwrap();
        two_commits(dir.path());
        assert_eq!(sql(dir.path(), statement), 1, "{statement}");
        let read = everything(dir.path());
        assert!(matches!(read, Err(StoreError::CorruptRow { .. })), "{statement}: {read:?}");
    }
}

/// All that can be read of a state: what a start reads back and what clients are told.
fn everything(dir: &Path) -> Result<String, StoreError> {
    let (store, recovered) = Store::open(dir)?;
    let reader = store.reader()?;
    let told = (
        reader.list(&ListQuery::default())?,
        reader.changes_after(0, 100)?,
        reader.quarantined(&QuarantineQuery::default())?,
        reader.dead_letters(0, 100)?,
        reader.reject_totals()?,
        reader.history()?,
        store.history()?,
    );
    Ok(format!("{recovered:?} {told:?}"))
}

/// What is read is what was written, or reading fails, whatever bit of the file is another.
#[test]
fn a_flipped_bit_is_found_or_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path());
    store.commit(&full_commit()).unwrap();
    drop(store);
    let path = dir.path().join("shadowprod.db");
    let sound = std::fs::read(&path).unwrap();
    let expected = everything(dir.path()).unwrap();
    let seed = 7;
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let mut refused = 0;
    for _ in 0..400 {
        let (place, bit) = (dice.usize(..sound.len()), dice.u8(..8));
        let mut damaged = sound.clone();
        damaged[place] ^= 1 << bit;
        std::fs::write(&path, &damaged).unwrap();
        match everything(dir.path()) {
            Ok(read) => assert_eq!(read, expected, "bit {bit} of byte {place}"),
            Err(_) => refused += 1,
        }
        for name in ["shadowprod.db-wal", "shadowprod.db-shm"] {
            let _absent = std::fs::remove_file(dir.path().join(name));
        }
    }
    assert!(refused > 10, "{refused} of 400 were refused: the file is mostly empty, but not that empty");
}

fn three_revisions(dir: &Path) {
    let mut store = fresh(dir);
    for (kind, severity) in [
        (ChangeKind::Opened, Severity::Low),
        (ChangeKind::Refreshed, Severity::Low),
        (ChangeKind::Updated, Severity::High),
        (ChangeKind::Resolved, Severity::High),
    ] {
        store.commit(&step(kind, finding("f_1", severity, 5))).unwrap();
    }
    assert_eq!(store.verify_chain().unwrap(), 3, "a refresh is no history");
    let revisions = store.reader().unwrap().history().unwrap();
    let kinds: Vec<_> = revisions.iter().map(|r| (r.seq, r.change.kind)).collect();
    assert_eq!(kinds, [(1, ChangeKind::Opened), (2, ChangeKind::Updated), (3, ChangeKind::Resolved)]);
}

/// As somebody who hides it: the triggers are there again afterwards.
fn without_triggers(dir: &Path, statement: &str) {
    let connection = Connection::open(dir.join("shadowprod.db")).unwrap();
    let triggers = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'";
    let triggers: Vec<(String, String)> = connection
        .prepare(triggers)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    triggers.iter().for_each(|(name, _)| connection.execute_batch(&format!("DROP TRIGGER {name}")).unwrap());
    assert_eq!(connection.execute(statement, []).unwrap(), 1);
    triggers.iter().for_each(|(_, sql)| connection.execute_batch(sql).unwrap());
}

#[test]
fn the_chain_finds_the_first_revision_that_was_touched() {
    let tampering = [
        ("UPDATE revision SET body = replace(body, '\"high\"', '\"low\"') WHERE seq = 2", 2),
        ("UPDATE revision SET at = '2026-01-01T00:00:00Z' WHERE seq = 1", 1),
        ("DELETE FROM revision WHERE seq = 2", 2),
        ("DELETE FROM revision WHERE seq = 3", 3),
        ("UPDATE revision SET kind = 'opened' WHERE seq = 3", 3),
        ("UPDATE revision SET seq = 4 WHERE seq = 3", 4),
    ];
    for (statement, expected) in tampering {
        let dir = tempfile::tempdir().unwrap();
        three_revisions(dir.path());
        let refused = Connection::open(dir.path().join("shadowprod.db")).unwrap().execute(statement, []);
        assert!(refused.unwrap_err().to_string().contains("revisions are never"));
        without_triggers(dir.path(), statement);
        let opened = Store::open(dir.path());
        // The newest one is looked at by a start: what comes next would be chained to another.
        assert_eq!(opened.is_err(), expected > 2, "{statement}");
        match opened.and_then(|(store, _)| store.verify_chain()) {
            Err(StoreError::BrokenChain { seq, .. }) => assert_eq!(seq, expected, "{statement}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
}

/// Bounds as small as `kind_rows` of a kind and `rows` in all, before and in the store.
fn small_quarantine(kind_rows: usize, rows: usize) -> (Store, SampleBounds) {
    let quarantine = SampleBounds { rows, kind_rows };
    (memory(Bounds { quarantine, ..Bounds::default() }), quarantine)
}

/// What is kept, by topic, reason, partition and offset.
fn quarantined(store: &Store) -> Vec<(u16, String, i32, i64)> {
    let connection = locked(&store.writer.connection);
    let sql = "SELECT topic, reason, partition, \"offset\" FROM quarantine ORDER BY 1, 2, 3, 4";
    let mut select = connection.prepare(sql).unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    select.query_map([], read).unwrap().map(Result::unwrap).collect()
}

fn commit_rejects(store: &mut Store, bounds: SampleBounds, rejects: &[Reject]) {
    let mut batch = Rejects::within(bounds);
    rejects.iter().for_each(|reject| batch.add(quarantined_as(reject.clone())));
    store.commit(&Commit { rejects: batch, ..Commit::default() }).unwrap();
}

#[test]
fn quarantine_is_the_same_however_rejects_come_in_batches_and_counts_all() {
    let of = |topic, reason, count: i64| {
        (0..count).map(move |offset| Reject {
            position: position(topic, offset as i32 % 3, 1_000 * reason as i64 + offset),
            reason,
            ..reject(0)
        })
    };
    let mut all: Vec<Reject> = of(0, RejectReason::NotJson, 400)
        .chain(of(0, RejectReason::TooDeep, 3))
        .chain(of(1, RejectReason::NotJson, 60))
        .chain(of(1, RejectReason::Empty, 11))
        .collect();
    for (kind_rows, rows, sizes) in
        [(10, 100, [10, 3, 10, 10]), (10, 28, [8, 3, 8, 9]), (10, 2, [0, 0, 1, 1])]
    {
        let (mut whole, bounds) = small_quarantine(kind_rows, rows);
        commit_rejects(&mut whole, bounds, &all);
        let kept = quarantined(&whole);
        let of_kind = |topic, reason: &str| kept.iter().filter(|k| k.0 == topic && k.1 == reason).count();
        let found =
            [of_kind(0, "not_json"), of_kind(0, "too_deep"), of_kind(1, "empty"), of_kind(1, "not_json")];
        assert_eq!((found.iter().sum::<usize>(), kept.len()), (sizes.iter().sum(), sizes.iter().sum()));
        assert!(
            found.iter().zip(&sizes).all(|(found, size)| found.abs_diff(*size) <= 1),
            "{found:?} for {sizes:?}"
        );
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            random.shuffle(&mut all);
            let (mut store, bounds) = small_quarantine(kind_rows, rows);
            let mut rest = &all[..];
            while !rest.is_empty() {
                let (batch, later) = rest.split_at(random.usize(1..=rest.len().min(90)));
                commit_rejects(&mut store, bounds, batch);
                rest = later;
            }
            assert_eq!(quarantined(&store), kept, "seed {seed}");
            let totals = [("empty".to_owned(), 11), ("not_json".to_owned(), 460), ("too_deep".to_owned(), 3)];
            assert_eq!(store.reject_totals().unwrap(), totals);
        }
    }
}

#[test]
fn quarantine_keeps_a_uniform_sample_of_a_flood() {
    let (mut store, bounds) = small_quarantine(500, 10_000);
    let flood: Vec<Reject> = (0..20_000).map(reject).collect();
    flood.chunks(900).for_each(|batch| commit_rejects(&mut store, bounds, batch));
    let kept = quarantined(&store);
    assert_eq!(kept.len(), 500);
    for quarter in 0..4 {
        let within = kept.iter().filter(|k| k.3 / 5_000 == quarter).count();
        assert!((90..160).contains(&within), "{within} of quarter {quarter}, expected about 125");
    }
}

#[test]
fn place_that_is_rejected_again_after_its_topic_was_recreated_is_one_row() {
    let (mut store, bounds) = small_quarantine(10, 10);
    commit_rejects(&mut store, bounds, &[reject(3)]);
    commit_rejects(&mut store, bounds, &[Reject { reason: RejectReason::Empty, ..reject(3) }]);
    assert_eq!(quarantined(&store), [(0, "empty".to_owned(), 0, 3)]);
}

#[test]
fn dead_letters_wait_until_they_are_delivered_and_new_ones_are_dropped_where_there_is_no_room() {
    let mut store = memory(Bounds { dead_letters: 5, ..Bounds::default() });
    let mut commit = |offsets: std::ops::Range<i64>, delivered: Option<u64>| {
        let mut dead_letters = DeadLetters::default();
        offsets.for_each(|offset| dead_letters.add(&quarantined_as(reject(offset))));
        delivered.into_iter().for_each(|up_to| dead_letters.delivered(up_to));
        let outcome = store.commit(&Commit { dead_letters, ..Commit::default() }).unwrap();
        let reader = store.reader().unwrap();
        let waiting = reader.dead_letters(0, 100).unwrap();
        assert_eq!(waiting.len() as u64, reader.dead_letters_waiting().unwrap());
        let (numbers, ids): (Vec<u64>, Vec<String>) = waiting.into_iter().map(|(n, l)| (n, l.id)).unzip();
        let offset = |id: &String| id.split('/').nth(2).unwrap().parse::<i64>().unwrap();
        (outcome.dropped_letters, numbers, ids.iter().map(offset).collect::<Vec<_>>())
    };
    assert_eq!(commit(0..3, None), (0, vec![1, 2, 3], vec![0, 1, 2]));
    assert_eq!(commit(3..7, None), (2, vec![1, 2, 3, 4, 5], vec![0, 1, 2, 3, 4]));
    assert_eq!(commit(7..9, Some(4)), (0, vec![5, 6, 7], vec![4, 7, 8]));
    assert_eq!(commit(0..0, Some(7)), (0, vec![], vec![]));
    assert_eq!(commit(9..10, None), (0, vec![8], vec![9]), "numbers are never used again");
    let letter = store.reader().unwrap().dead_letters(0, 1).unwrap().remove(0).1;
    let body: serde_json::Value = serde_json::from_str(&letter.body).unwrap();
    assert_eq!((letter.id.as_str(), letter.reason.as_str()), ("aws.cloudtrail/0/9/0", "not_json"));
    for (key, value) in [
        ("id", serde_json::json!("aws.cloudtrail/0/9/0")),
        ("reason", "not_json".into()),
        ("detail", "expected a value".into()),
        ("source", "okta".into()),
        ("topic", "aws.cloudtrail".into()),
        ("partition", 0.into()),
        ("offset", 9.into()),
        ("index", 0.into()),
        ("ingested_at", "2026-02-02T02:40:00Z".into()),
        ("format", serde_json::Value::Null),
        ("payload", "{".into()),
    ] {
        assert_eq!(body[key], value, "{key}");
    }
}

#[test]
fn a_withdrawn_finding_disappears_but_watchers_are_told() {
    let mut store = memory(Bounds::default());
    store.commit(&step(ChangeKind::Early, finding("f_1", Severity::Low, 0))).unwrap();
    let withdrawn = Commit {
        changes: vec![change(ChangeKind::Withdrawn, finding("f_1", Severity::Low, 0))],
        ..Commit::default()
    };
    assert_eq!(store.commit(&withdrawn).unwrap().change_seq, 2);
    let reader = store.reader().unwrap();
    assert_eq!(reader.get("f_1").unwrap(), None);
    let told: Vec<_> = reader.changes_after(1, 10).unwrap().unwrap();
    assert_eq!(told[0].1.kind, ChangeKind::Withdrawn);
    assert_eq!(store.verify_chain().unwrap(), 0, "early findings leave no history");
}

#[test]
fn changes_that_are_not_kept_are_a_gap_and_never_silence() {
    let mut store = memory(Bounds { changes: 3, ..Bounds::default() });
    let reader = store.reader().unwrap();
    assert_eq!(reader.changes_after(0, 10).unwrap(), Ok(vec![]));
    assert_eq!(reader.changes_after(1, 10).unwrap(), Err(Gap { asked: 1, oldest: 1, latest: 0 }));
    for second in 0..5 {
        store.commit(&step(ChangeKind::Refreshed, finding("f_1", Severity::Low, second))).unwrap();
    }
    assert_eq!(reader.changes_after(1, 10).unwrap(), Err(Gap { asked: 1, oldest: 3, latest: 5 }));
    let seqs = |after, limit| -> Vec<u64> {
        reader.changes_after(after, limit).unwrap().unwrap().into_iter().map(|(seq, _)| seq).collect()
    };
    assert_eq!(seqs(2, 10), [3, 4, 5]);
    assert_eq!(seqs(2, 2), [3, 4]);
    assert!(seqs(5, 10).is_empty());
    assert_eq!(reader.changes_after(6, 10).unwrap(), Err(Gap { asked: 6, oldest: 3, latest: 5 }));
}

/// Finding `n` at a random place of the list.
fn shuffled(n: u64, random: &mut fastrand::Rng) -> Finding {
    let severity = Severity::ALL[random.usize(..4)];
    finding(&format!("f_{n:03}"), severity, random.i64(0..20))
}

#[test]
fn page_tokens_walk_all_findings_exactly_once_while_findings_change() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut store = memory(Bounds::default());
    let reader = store.reader().unwrap();
    for n in 0..97 {
        store.commit(&step(ChangeKind::Opened, shuffled(n, &mut random))).unwrap();
    }
    for page_size in [1, 7, 50] {
        let mut query = ListQuery { page_size, ..ListQuery::default() };
        let mut seen = Vec::new();
        loop {
            let page = reader.list(&query).unwrap();
            seen.extend(page.findings.into_iter().map(|f| f.finding_id));
            let Some(token) = page.next_page_token else { break };
            query.page_token = Some(token);
            for _ in 0..20 {
                let moved = shuffled(random.u64(0..97), &mut random);
                store.commit(&step(ChangeKind::Updated, moved)).unwrap();
            }
        }
        seen.sort();
        let all: Vec<String> = (0..97).map(|n| format!("f_{n:03}")).collect();
        assert_eq!(seen, all, "page size {page_size}");
    }
}

#[test]
fn pages_are_in_order_and_filtered() {
    let mut store = memory(Bounds::default());
    let severities = [Severity::Low, Severity::Critical, Severity::High, Severity::Critical];
    for (n, severity) in severities.into_iter().enumerate() {
        store.commit(&step(ChangeKind::Opened, finding(&format!("f_{n}"), severity, n as i64))).unwrap();
    }
    let mut resolved = finding("f_9", Severity::Critical, 50);
    resolved.state = FindingState::Resolved;
    resolved.owner.person = "bob".to_owned();
    store.commit(&step(ChangeKind::Resolved, resolved)).unwrap();
    let reader = store.reader().unwrap();
    let ids = |query: ListQuery| -> Vec<String> {
        reader.list(&query).unwrap().findings.into_iter().map(|f| f.finding_id).collect()
    };
    assert_eq!(ids(ListQuery::default()), ["f_9", "f_3", "f_1", "f_2", "f_0"]);
    let open = ListQuery { state: Some(FindingState::Open), ..ListQuery::default() };
    assert_eq!(ids(open), ["f_3", "f_1", "f_2", "f_0"]);
    let severe = ListQuery { severity_min: Some(Severity::High), ..ListQuery::default() };
    assert_eq!(ids(severe), ["f_9", "f_3", "f_1", "f_2"]);
    let bobs = ListQuery { owner: Some("bob".to_owned()), ..ListQuery::default() };
    assert_eq!(ids(bobs), ["f_9"]);
    let subject = ListQuery { subject_id: Some("c_f_2".to_owned()), ..ListQuery::default() };
    assert_eq!(ids(subject), ["f_2"]);
    let open: Vec<_> = reader.open_findings().unwrap().into_iter().map(|f| f.finding_id).collect();
    assert_eq!(open, ["f_3", "f_1", "f_2", "f_0"]);
}

#[test]
fn a_page_token_of_another_question_or_time_is_refused() {
    let mut store = memory(Bounds { page_walk_keys: 3, ..Bounds::default() });
    let reader = store.reader().unwrap();
    for n in 0..3 {
        store.commit(&step(ChangeKind::Opened, finding(&format!("f_{n}"), Severity::Low, n))).unwrap();
    }
    let first = ListQuery { page_size: 1, ..ListQuery::default() };
    let token = reader.list(&first).unwrap().next_page_token;
    let refused = |query: &ListQuery| matches!(reader.list(query), Err(StoreError::BadPageToken));
    let good = ListQuery { page_token: token.clone(), ..first.clone() };
    assert!(!refused(&good));
    assert!(refused(&ListQuery { owner: Some("ada".to_owned()), ..good.clone() }));
    assert!(refused(&ListQuery { page_token: Some("1.zz".to_owned()), ..first.clone() }));
    assert!(refused(&ListQuery { page_token: Some(String::new()), ..first }));
    for second in 10..20 {
        store.commit(&step(ChangeKind::Refreshed, finding("f_0", Severity::Low, second))).unwrap();
    }
    assert!(refused(&good), "its list is not remembered any more");
}

#[test]
fn topic_numbers_are_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path());
    assert_eq!(store.register_topics(&topics()).unwrap(), [1, 0], "new names are numbered in name order");
    drop(store);
    let (mut store, _) = Store::open(dir.path()).unwrap();
    let more = ["zeta", "okta.system", "alpha"].map(str::to_owned);
    assert_eq!(store.register_topics(&more).unwrap(), [3, 1, 2]);
    let many: Vec<String> = (0..=limits::TOPICS_MAX).map(|n| format!("t{n}")).collect();
    assert!(matches!(store.register_topics(&many), Err(StoreError::TooManyTopics { found: 1_029 })));
}

#[test]
fn a_reader_on_another_thread_sees_each_commit_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = fresh(dir.path());
    let reader = store.reader().unwrap();
    let watcher = std::thread::spawn(move || {
        let mut newest = 0;
        while newest < 50 {
            let pair: Vec<_> = reader.open_findings().unwrap().iter().map(|f| f.last_seen).collect();
            assert!(pair.is_empty() || (pair.len() == 2 && pair[0] == pair[1]), "{pair:?}");
            let letters = reader.dead_letters(0, usize::MAX >> 1).unwrap();
            assert!(letters.iter().map(|(seq, _)| *seq).eq(1..=letters.len() as u64), "{letters:?}");
            newest = reader.latest_seq().unwrap();
        }
    });
    for second in 0..25 {
        let mut commit = step(ChangeKind::Refreshed, finding("f_1", Severity::Low, second));
        let other = step(ChangeKind::Refreshed, finding("f_2", Severity::Low, second));
        commit.changes.extend(other.changes);
        commit.tracked.extend(other.tracked);
        commit.dead_letters.add(&quarantined_as(reject(second)));
        store.commit(&commit).unwrap();
    }
    watcher.join().unwrap();
}

#[test]
fn a_state_folder_has_an_identity() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = |dir: &Path| fresh(dir).reader().unwrap().instance().unwrap();
    let first = name(one.path());
    assert_eq!(first.len(), 32);
    assert_eq!(name(one.path()), first);
    assert_ne!(name(two.path()), first);
}
