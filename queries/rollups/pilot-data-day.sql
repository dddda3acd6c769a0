-- ---
-- id = "pilot-data-day"
-- version = 1
-- title = "What data a pilot touched outside its scope, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "pilot"
-- retention_days = 9
--
-- [parameters]
-- human_at = 3.0   # start value, not yet calibrated: from these log-odds on it is a person, not the pilot
-- ---
-- Only what the pilot itself did, also through a service that reads on its behalf: people who take on its role, by name
-- or by how they act, answer for themselves. An
-- answer with an error gave no data: S3 says NoSuchKey of an object that is not there. What was denied is kept beside.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    acting_pilot AS pilot,
    data_store,
    acting_confidence AS confidence,
    outcome = 'success' AS answered,
    count(*) AS requests,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE data_scope = 'outside'
  AND (outcome = 'denied' OR outcome = 'success' AND error IS NULL)
  AND NOT synthetic
  AND coalesce(credential_attribution, 1.0) >= 1.0
  AND human_client + human_network + human_flow - workload_client - workload_network - workload_flow < $human_at
GROUP BY 1, 2, 3, 4, 5
