-- ---
-- id = "target-failure-hour"
-- version = 1
-- title = "In which minutes a service or pilot answered 5xx, by hour"
-- bucket = "hour"
-- bucket_seconds = 3600
-- subject = "target"
-- retention_days = 15
-- ---
-- One bit a minute, and no row for an hour without a failure: 2,000 services that fail in half of all hours make
-- 340,000 rows in 14 days. Matching by minute needs no trace ids, which many gateways do not pass on.
SELECT
    date_bin(INTERVAL '1 hour', event_time) AS hour,
    coalesce(pilot, service) AS target,
    bit_or(CAST(1 AS BIGINT) << CAST(date_part('minute', event_time) AS BIGINT)) AS failed
FROM events
WHERE coalesce(pilot, service) IS NOT NULL
  AND outcome = 'failure'
  AND NOT synthetic
GROUP BY 1, 2
