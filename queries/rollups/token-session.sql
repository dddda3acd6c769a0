-- ---
-- id = "token-session"
-- version = 1
-- title = "Sessions of a token: one network, one client family, one half hour"
-- bucket = "slice"
-- bucket_seconds = 1800
-- subject = "credential"
-- presents = "token"
-- retention_days = 15
-- ---
-- As credential-session.sql, of events that presented a token, one row for each: several people's tokens may end in
-- one role session, and only the token tells whose it is. A table of its own, so that a client with a new token for
-- each request cannot crowd out the sessions of credentials. Who makes an API token or a Vault token for a program sets
-- up a credential of its own: these end the chain.
SELECT
    date_bin(INTERVAL '30 minutes', event_time) AS slice,
    credential,
    token,
    coalesce(network, 'unknown') AS network,
    coalesce(client_family, 'unknown') AS client_family,
    max(human_client) AS human_client,
    max(workload_client) AS workload_client,
    max(human_network) AS human_network,
    max(workload_network) AS workload_network,
    max(human_flow) AS human_flow,
    max(workload_flow) AS workload_flow,
    bit_or(CAST(1 AS BIGINT) << (CAST(date_part('minute', event_time) AS BIGINT) % 30))
        FILTER (WHERE strpos(coalesce(flow, ''), 'non_interactive') = 0) AS minutes,
    max(credential_label) AS label,
    max(credential_attribution) AS attribution,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    max(position) AS sample_last
FROM events
WHERE token IS NOT NULL
  AND credential IS NOT NULL
  AND principal_kind <> 'aws_service'
  AND credential_kind NOT IN ('api_token', 'vault_accessor')
  AND (outcome = 'success' OR credential_kind IN (
      'static_key', 'role_session', 'service_account_key', 'principal'
  ))
GROUP BY 1, 2, 3, 4, 5
