-- ---
-- id = "evidence-lost"
-- version = 1
-- title = "Messages of a source were gone before they were read"
-- subject_kind = "source"
-- window_days = 1
-- grid_seconds = 60
-- all_subjects = true      # a loss is noticed by the daemon, no event tells of it
-- close_after_hours = 1
-- reopen_within_hours = 24
-- owner_role = "team_owner"
-- mode = "active"
-- frameworks = ["CSF DE.CM-09", "CSF PR.PS-04"]
-- ---
-- Retention that deletes what was not read yet is counted exactly; a topic that is deleted and made anew may have held
-- anything. Either lies between what was seen before `since` and what was read from then on: findings may lack evidence
-- in it, and there may be some that nobody found. The finding stays open for a day after the last loss, its history for
-- ever. The team `platform` of the registry is told.
WITH lost AS (
    SELECT
        subject AS source,
        sum(CASE WHEN kind = 'retention_gap' THEN amount ELSE 0 END) AS messages,
        sum(CASE WHEN kind = 'topic_recreated' THEN times ELSE 0 END) AS recreated,
        min(since) AS first_seen,
        max(since) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM losses
    WHERE kind IN ('retention_gap', 'topic_recreated')
      AND since < as_of()
      AND since > as_of() - INTERVAL '1 day'
    GROUP BY subject
)
SELECT
    source AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    'high' AS severity,
    first_seen,
    last_seen,
    concat('Evidence of source ', source, ' was lost') AS title,
    concat(
        CASE WHEN messages > 0
            THEN concat(CAST(messages AS VARCHAR), ' messages of "', source, '" were deleted before they were read. ')
            ELSE '' END,
        CASE WHEN recreated > 0
            THEN concat(
                'A topic of "', source, '" was deleted and made anew (partitions: ', CAST(recreated AS VARCHAR),
                '); what it held unread is not known. ')
            ELSE '' END,
        'Up to ', to_char(first_seen, '%Y-%m-%d %H:%M'), ' everything was seen; findings about what came after it may',
        ' lack evidence, or be missing. Let the topic keep messages for longer than the daemon may be down or behind.'
    ) AS explanation,
    sample_first,
    sample_last,
    CAST(NULL AS VARCHAR) AS owner_pilot,
    'platform' AS owner_team,
    CAST(messages AS DOUBLE) AS term_messages_lost,
    CAST(recreated AS DOUBLE) AS term_partitions_made_anew
FROM lost
