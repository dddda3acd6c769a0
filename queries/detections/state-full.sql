-- ---
-- id = "state-full"
-- version = 1
-- title = "The daemon has no room for new subjects"
-- subject_kind = "state"
-- window_days = 1
-- grid_seconds = 60
-- all_subjects = true      # overflow is noticed by the daemon, no event tells of it
-- close_after_hours = 0
-- reopen_within_hours = 24
-- owner_role = "team_owner"
-- mode = "active"
-- frameworks = ["CSF DE.CM-09", "CSF PR.PS-04"]
-- ---
-- Beyond four fifths of `state.memory_mib` rows of new subjects are not kept, beyond all of it no new rows: what is known
-- goes on being watched, and what is new is not seen. Each row is counted in the hour in which it found no room. It is
-- open for a day after the last of them. The team `platform` of the registry is told.
WITH refused AS (
    SELECT
        kind,
        sum(amount) AS refused_rows,
        count(DISTINCT subject) AS rollups,
        min(since) AS first_seen,
        max(since) AS last_seen
    FROM losses
    WHERE kind = 'overflow'
      AND since < as_of()
      AND since > as_of() - INTERVAL '1 day'
    GROUP BY kind
)
SELECT
    'rows' AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    'high' AS severity,
    first_seen,
    last_seen,
    'The daemon has no room for new subjects' AS title,
    concat(
        'Within a day ', CAST(refused_rows AS VARCHAR), ' rows were not kept (rollups: ', CAST(rollups AS VARCHAR),
        '): their memory is full. Who is new is not watched; who was known is. Raise state.memory_mib, and look whether',
        ' somebody floods a log with made-up names.'
    ) AS explanation,
    CAST(NULL AS BIGINT) AS sample_first,
    CAST(NULL AS BIGINT) AS sample_last,
    CAST(NULL AS VARCHAR) AS owner_pilot,
    'platform' AS owner_team,
    CAST(refused_rows AS DOUBLE) AS term_rows_refused,
    CAST(rollups AS DOUBLE) AS term_rollups
FROM refused
