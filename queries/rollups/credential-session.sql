-- ---
-- id = "credential-session"
-- version = 2
-- title = "Sessions of a credential: one network, one client family, one half hour"
-- bucket = "slice"
-- bucket_seconds = 1800
-- subject = "credential"
-- retention_days = 15
-- ---
-- Of each family of signals a session has the strongest sign of a person and the strongest of a workload.
-- A sign-in that failed proves nothing about who holds the credential. A call that was refused does where the log
-- names the credential only after it was verified: a signed AWS call, an API token, a Google or Kubernetes
-- identity, a Vault token. A device that refreshes its user's sign-in keeps no hours: it leaves no minutes.
SELECT
    date_bin(INTERVAL '30 minutes', event_time) AS slice,
    credential,
    coalesce(network, 'unknown') AS network,
    coalesce(client_family, 'unknown') AS client_family,
    count(*) AS events,
    max(human_client) AS human_client,
    max(workload_client) AS workload_client,
    max(human_network) AS human_network,
    max(workload_network) AS workload_network,
    max(human_flow) AS human_flow,
    max(workload_flow) AS workload_flow,
    bit_or(CAST(1 AS BIGINT) << (CAST(date_part('minute', event_time) AS BIGINT) % 30))
        FILTER (WHERE strpos(coalesce(flow, ''), 'non_interactive') = 0) AS minutes,
    max(network_kind) AS network_kind,
    max(credential_kind) AS credential_kind,
    max(credential_label) AS label,
    max(credential_attribution) AS attribution,
    bool_or(credential_shared) AS shared,
    max(pilot) AS pilot,
    max(caller_team) AS team,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE credential IS NOT NULL
  AND principal_kind <> 'aws_service'
  AND (outcome = 'success' OR credential_kind IN (
      'static_key', 'role_session', 'api_token', 'service_account_key', 'principal', 'vault_accessor'
  ))
GROUP BY 1, 2, 3, 4
