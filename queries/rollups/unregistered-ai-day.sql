-- ---
-- id = "unregistered-ai-day"
-- version = 2
-- title = "Workloads whose AI calls belong to no pilot, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "caller"
-- retention_days = 16
--
-- [parameters]
-- human_at = 3.0   # start value, not yet calibrated: from these log-odds on it is a person, not a workload
-- ---
-- The caller is the key: a role without its sessions, the mTLS peer, the consumer of a gateway. One workload is one
-- subject however often it is deployed, and whatever models it calls. A network is no workload: who shows no identity
-- cannot be registered. What several pilots claim is somebody's; what a registered service answers is known. That the
-- caller is a registered service says whose it is, not that anybody approved of what it does with AI.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    caller,
    caller_team,
    ai_provider,
    count(*) AS calls,
    max(model) AS model,
    min(coalesce(host, account, target)) AS place,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE ai_operation = 'invoke'
  AND attribution IS NULL
  AND purpose IS NULL
  AND coalesce(peer, principal, consumer) IS NOT NULL
  AND outcome = 'success'
  AND NOT synthetic
  AND principal_kind <> 'aws_service'
  AND human_client + human_network + human_flow - workload_client - workload_network - workload_flow < $human_at
GROUP BY 1, 2, 3, 4
