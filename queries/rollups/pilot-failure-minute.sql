-- ---
-- id = "pilot-failure-minute"
-- version = 1
-- title = "Minutes in which a pilot failed a caller"
-- bucket = "minute"
-- bucket_seconds = 60
-- subject = "pilot"
-- retention_days = 15
-- ---
-- Failures only, of the calls that count in business-dependency.sql: 50 such pilots with 5 callers and 20 bad minutes
-- a day each make 70,000 rows in 14 days; one that always fails makes 20,000 for each caller. A storm of retries adds
-- requests to a minute, never a row; what one gateway hands to the next is there twice at about one time.
SELECT
    date_bin(INTERVAL '1 minute', event_time) AS minute,
    pilot,
    caller,
    count(*) FILTER (WHERE outcome = 'failure') AS failures,
    min(event_time) AS first_failed,
    max(event_time) AS last_failed
FROM events
WHERE pilot IS NOT NULL
  AND outcome IN ('failure', 'throttled')
  AND coalesce(pilot_stage, 'unknown') <> 'production'
  AND caller_production
  AND NOT synthetic
  AND NOT excepted
  AND NOT own_team
GROUP BY 1, 2, 3
