-- ---
-- id = "target-caller-day"
-- version = 2
-- title = "Which production workloads call which service or pilot, and how many people do, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "target"
-- retention_days = 16
--
-- [parameters]
-- human_at = 3.0   # start value, not yet calibrated: from these log-odds on the client is a person's
-- ---
-- Edges between what the registry knows, and one row a target and day for all other callers: 2,000 services with 20
-- production callers each make 600,000 rows in 14 days. People are no rows: `people` is a sketch of them, so that days
-- and targets merge and nobody is counted twice; up to 192 of them it counts exactly. Behind a gateway the principal is
-- the workload that passes the request on: the person is whoever its token names.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    coalesce(pilot, service) AS target,
    CASE WHEN caller_production THEN caller END AS caller,
    hll_sketch(CASE
        WHEN principal_kind = 'human' THEN principal
        WHEN human_client + human_network + human_flow
             - workload_client - workload_network - workload_flow >= $human_at THEN consumer
    END) AS people
FROM events
WHERE coalesce(pilot, service) IS NOT NULL
  AND outcome IN ('success', 'failure')
  AND NOT own_team
  AND NOT synthetic
GROUP BY 1, 2, 3
