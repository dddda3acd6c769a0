-- ---
-- id = "stopped-pilot-day"
-- version = 1
-- title = "Who still calls a pilot that is suspended or revoked, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "pilot"
-- retention_days = 9
-- ---
-- A small table of its own: pilots that were stopped are few, and calls that fail for other reasons say nothing of
-- whether the stop works.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    pilot,
    pilot_stage AS stage,
    coalesce(caller, 'unknown') AS caller,
    own_team,
    outcome = 'success' AS answered,
    coalesce(attribution_confidence, 0.0) AS confidence,
    count(*) AS requests,
    min(coalesce(host, account, target, model)) AS place,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE pilot_stage IN ('suspended', 'revoked')
  AND outcome IN ('success', 'denied')
  AND NOT synthetic
  AND NOT excepted
GROUP BY 1, 2, 3, 4, 5, 6, 7
