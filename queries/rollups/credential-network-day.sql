-- ---
-- id = "credential-network-day"
-- version = 1
-- title = "Which networks a credential was used from, and by whom as it seems, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "credential"
-- retention_days = 15
-- ---
-- A use is what it is to credential-session: a sign-in that failed is none. A row here is as strong a sign as any
-- session of the day, and `hours` has a bit for each hour that any of them kept. What only asks whether a network is
-- new, or of whom a closer look may say anything, reads a few rows instead of half hours by the thousand.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    credential,
    coalesce(network, 'unknown') AS network,
    max(human_client) AS human_client,
    max(workload_client) AS workload_client,
    max(human_network) AS human_network,
    max(workload_network) AS workload_network,
    max(human_flow) AS human_flow,
    max(workload_flow) AS workload_flow,
    bit_or(CAST(1 AS BIGINT) << CAST(date_part('hour', event_time) AS BIGINT))
        FILTER (WHERE strpos(coalesce(flow, ''), 'non_interactive') = 0) AS hours,
    min(event_time) AS first_seen
FROM events
WHERE credential IS NOT NULL
  AND principal_kind <> 'aws_service'
  AND (outcome = 'success' OR credential_kind IN (
      'static_key', 'role_session', 'api_token', 'service_account_key', 'principal', 'vault_accessor'
  ))
GROUP BY 1, 2, 3
