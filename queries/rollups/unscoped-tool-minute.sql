-- ---
-- id = "unscoped-tool-minute"
-- version = 1
-- title = "Tools that a pilot called outside its tool scope, by minute"
-- bucket = "minute"
-- bucket_seconds = 60
-- subject = "pilot"
-- retention_days = 9
--
-- [parameters]
-- human_at = 3.0   # start value, not yet calibrated: from these log-odds on it is a person, not the pilot
-- ---
-- By minute, so that an approval can be told to stand before it; few rows, as tools outside the scope are few. The
-- approval of a call names its tool as well and is no call.
SELECT
    date_bin(INTERVAL '1 minute', event_time) AS minute,
    acting_pilot AS pilot,
    tool,
    acting_confidence AS confidence,
    count(*) AS calls,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE tool_scope = 'outside'
  AND outcome = 'success'
  AND NOT approval
  AND NOT synthetic
  AND human_client + human_network + human_flow - workload_client - workload_network - workload_flow < $human_at
GROUP BY 1, 2, 3, 4
