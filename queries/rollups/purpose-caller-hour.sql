-- ---
-- id = "purpose-caller-hour"
-- version = 1
-- title = "In which minutes a caller was answered by what serves a purpose, by hour"
-- bucket = "hour"
-- bucket_seconds = 3600
-- subject = "purpose"
-- retention_days = 15
-- ---
-- One bit a minute, whatever the traffic: 300 targets with a purpose, 10 production callers each, busy half the day,
-- make 500,000 rows in 14 days. What a caller did after a failure, and its calm minutes, can be read off it.
SELECT
    date_bin(INTERVAL '1 hour', event_time) AS hour,
    purpose,
    caller,
    coalesce(pilot, service, 'unknown') AS target,
    bit_or(CAST(1 AS BIGINT) << CAST(date_part('minute', event_time) AS BIGINT)) AS answered
FROM events
WHERE purpose IS NOT NULL
  AND outcome = 'success'
  AND caller_production
  AND NOT synthetic
GROUP BY 1, 2, 3, 4
