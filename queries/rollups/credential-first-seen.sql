-- ---
-- id = "credential-first-seen"
-- version = 2
-- title = "When a credential was first used"
-- bucket = "period"
-- bucket_seconds = 2419200
-- subject = "credential"
-- retention_days = 84
-- ---
-- Four weeks a bucket: a few small rows for each credential are enough to know that it is not new.
SELECT
    date_bin(INTERVAL '28 days', event_time) AS period,
    credential,
    min(date_bin(INTERVAL '30 minutes', event_time)) AS first_slice
FROM events
WHERE credential IS NOT NULL
  AND principal_kind <> 'aws_service'
  AND (outcome = 'success' OR credential_kind IN (
      'static_key', 'role_session', 'api_token', 'service_account_key', 'principal', 'vault_accessor'
  ))
GROUP BY 1, 2
