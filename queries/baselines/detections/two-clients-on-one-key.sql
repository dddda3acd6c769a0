-- ---
-- id = "two-clients-on-one-key"
-- version = 1
-- title = "A browser and a library used one credential"
-- subject_kind = "credential"
-- window_days = 14
-- grid_seconds = 3600
-- close_after_hours = 24
-- reopen_within_hours = 336
-- owner_role = "credential_owner"
-- mode = "active"
-- frameworks = []
-- ---
-- What a simple rule does: user agents of both kinds on one credential. `evaluate` shows what it would cost.
SELECT
    credential AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    'high' AS severity,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
    concat('A browser and a library used ', coalesce(max(label), credential)) AS title,
    'In the last 14 days user agents of both kinds used it.' AS explanation,
    min(sample_first) AS sample_first,
    max(sample_last) AS sample_last,
    max(pilot) AS owner_pilot,
    max(team) AS owner_team
FROM credential_client_day
WHERE day >= as_of() - INTERVAL '14 days'
GROUP BY credential
HAVING bool_or(browsed) AND bool_or(scripted)
