-- ---
-- id = "token-issued"
-- version = 1
-- title = "Which credential gave out which token, presenting which"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "credential"
-- issues = "issued_token"
-- presents = "token"
-- retention_days = 30
-- ---
-- A sign-in, AssumeRole or token request: whoever presents the token later acts with what this credential gave away.
-- What workloads get for themselves is left out: a chain counts only where a person stands at its head.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    credential,
    issued_token,
    token,
    bool_or(strpos(coalesce(flow, ''), 'delegated') > 0) AS delegated,
    max(credential_label) AS label
FROM events
WHERE issued_token IS NOT NULL
  AND credential IS NOT NULL
  AND outcome = 'success'
  AND principal_kind NOT IN ('aws_service', 'workload')
GROUP BY 1, 2, 3, 4
