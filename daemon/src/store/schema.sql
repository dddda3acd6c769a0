-- State of one daemon. Times that are compared are microseconds since 1970 UTC; `at` is RFC 3339.
-- Open it with: sqlite3 -readonly shadowprod.db 'SELECT * FROM findings'
-- `checksum` of a row is xxh3-64 over its other columns; rows without one are under `control_checksum` in meta, but for
-- revisions, which have their chain.

CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE topic (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- `next_offset` is the one to read next; `last_*` tell the last message before it, by which the log is known again.
CREATE TABLE checkpoint (
    topic INTEGER NOT NULL REFERENCES topic (number),
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    last_offset INTEGER,
    last_payload_hash INTEGER,
    last_timestamp_ms INTEGER,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE clock_partition (
    topic INTEGER NOT NULL REFERENCES topic (number),
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    newest_event_micros INTEGER NOT NULL,
    idle INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    rollup TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    bytes BLOB NOT NULL
) STRICT;

-- One row a finding, as it is now. `body` is Tracked as JSON; `severity` is 1 (low) to 4 (critical).
CREATE TABLE finding (
    finding_id TEXT PRIMARY KEY,
    detection TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    severity INTEGER NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    last_seen INTEGER NOT NULL,
    created_commit INTEGER NOT NULL,
    key_commit INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX finding_by_order ON finding (severity DESC, last_seen DESC, finding_id);
CREATE INDEX finding_by_state ON finding (state);

-- Where a finding stood in the list before a commit moved it: page tokens walk the list as it was.
CREATE TABLE finding_past (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    finding_id TEXT NOT NULL,
    until_commit INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (finding_id, until_commit)
) STRICT;

-- What watchers are told, the newest CHANGES_KEPT_MAX.
CREATE TABLE change (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    finding_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- The history: only ever added to. hash = SHA-256 over prev_hash and every other column.
CREATE TABLE revision (
    seq INTEGER PRIMARY KEY,
    finding_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    body TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE INDEX revision_by_finding ON revision (finding_id, seq);
CREATE TRIGGER revision_is_never_changed BEFORE UPDATE ON revision
BEGIN SELECT raise(ABORT, 'revisions are never changed'); END;
CREATE TRIGGER revision_is_never_removed BEFORE DELETE ON revision
BEGIN SELECT raise(ABORT, 'revisions are never removed'); END;

-- Rejected payloads with secrets masked: of each topic and reason those of lowest `rank`, a hash of the place, which
-- is a uniform sample. reject_count counts them all. message_hash is xxh3-64 of the whole message, content_hash of
-- the JSON that was rejected.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL REFERENCES topic (number),
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    envelope_index INTEGER NOT NULL,
    reason TEXT NOT NULL,
    rank INTEGER NOT NULL,
    rejected_micros INTEGER NOT NULL,
    source TEXT NOT NULL,
    format TEXT,
    message_hash INTEGER NOT NULL,
    content_hash INTEGER NOT NULL,
    detail TEXT NOT NULL,
    payload TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (topic, partition, "offset", envelope_index)
) STRICT;
CREATE INDEX quarantine_by_rank ON quarantine (topic, reason, rank);
CREATE TABLE reject_count (
    topic INTEGER NOT NULL REFERENCES topic (number),
    reason TEXT NOT NULL,
    rejects INTEGER NOT NULL,
    PRIMARY KEY (topic, reason)
) STRICT, WITHOUT ROWID;

-- Rejects on their way to the dead-letter topic, at most DEAD_LETTERS_WAITING_MAX; removed once the broker has them.
CREATE TABLE dead_letter (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    reason TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- Decisions that did not come from the logs: idle partitions, reloads. The newest CONTROL_ROWS_MAX.
CREATE TABLE control (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at_seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;

-- Evidence that nobody will see: messages that were gone before they were read, rows for which there was no room. What
-- came before since_micros was seen. sample_first and sample_last are packed positions, as in segments.
CREATE TABLE loss (
    since_micros INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    times INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    sample_first INTEGER,
    sample_last INTEGER,
    PRIMARY KEY (since_micros, kind, subject)
) STRICT, WITHOUT ROWID;

-- Which registry (id '') and which queries are in force.
CREATE TABLE version_in_force (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- Of each rollup in force whose rows do not go back to the first event: the event time from which on they hold
-- everything.
CREATE TABLE rollup_start (rollup TEXT PRIMARY KEY, since_micros INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- For people.
CREATE VIEW findings AS
SELECT finding_id, detection, subject_kind, subject_id,
       json_extract(body, '$.finding.severity') AS severity,
       json_extract(body, '$.finding.score') AS score,
       state, owner,
       json_extract(body, '$.finding.first_seen') AS first_seen,
       json_extract(body, '$.finding.last_seen') AS last_seen,
       json_extract(body, '$.finding.title') AS title
FROM finding
ORDER BY finding.severity DESC, finding.last_seen DESC, finding_id;
