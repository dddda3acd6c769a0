-- ---
-- id = "approval-minute"
-- version = 1
-- title = "What people approved for a pilot, by minute"
-- bucket = "minute"
-- bucket_seconds = 60
-- subject = "pilot"
-- retention_days = 9
-- ---
-- What counts as an approval is said in queries/signals/approvals.toml. Nobody approves for themselves: neither the
-- pilot, whose identity would attribute the event, nor another workload.
SELECT
    date_bin(INTERVAL '1 minute', event_time) AS minute,
    coalesce(acting_pilot, pilot) AS pilot,
    tool,
    count(*) AS approvals,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen
FROM events
WHERE approval
  AND outcome = 'success'
  AND coalesce(acting_pilot, pilot) IS NOT NULL
  AND coalesce(attribution, 'none') NOT IN ('spiffe', 'role', 'entra_app', 'service_account')
  AND principal_kind NOT IN ('workload', 'role', 'aws_service')
GROUP BY 1, 2, 3
