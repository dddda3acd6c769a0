-- ---
-- id = "any-production-hit"
-- version = 1
-- title = "An unpromoted pilot was called in production"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 3600
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "pilot_owner"
-- mode = "active"
-- frameworks = []
-- ---
-- What a simple rule does: one request that has to do with production. `evaluate` shows what it would cost.
SELECT
    pilot AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    'high' AS severity,
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
    concat('Pilot ', pilot, ' was called in production') AS title,
    concat('In the last 7 days ', sum(answered), ' requests of production reached it.') AS explanation,
    min(sample_first) AS sample_first,
    max(sample_last) AS sample_last,
    pilot AS owner_pilot,
    CAST(NULL AS VARCHAR) AS owner_team
FROM pilot_caller_day
WHERE day >= as_of() - INTERVAL '7 days'
  AND answered > 0
  AND stage <> 'production'
  AND p_production >= 0.5
GROUP BY pilot
