-- ---
-- id = "purpose-caller-day"
-- version = 1
-- title = "Who is answered by anything that serves a purpose, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "purpose"
-- retention_days = 16
-- ---
-- Pilots and services share a purpose: this is what a caller could use instead of a pilot.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    purpose,
    caller,
    count(*) AS answered
FROM events
WHERE purpose IS NOT NULL AND caller IS NOT NULL AND outcome = 'success' AND NOT synthetic
GROUP BY 1, 2, 3
