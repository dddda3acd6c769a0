-- ---
-- id = "source-hour"
-- version = 2
-- title = "What each source sent, by hour"
-- bucket = "hour"
-- bucket_seconds = 3600
-- subject = "source"
-- retention_days = 15
-- ---
-- Minutes with traffic are a mask, so that gaps are seen whatever the order of arrival.
SELECT
    date_bin(INTERVAL '1 hour', event_time) AS hour,
    source,
    count(*) AS events,
    bit_or(CAST(1 AS BIGINT) << CAST(date_part('minute', event_time) AS BIGINT)) AS minutes,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    max(position) AS sample_last
FROM events
GROUP BY 1, 2
