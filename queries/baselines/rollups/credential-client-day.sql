-- ---
-- id = "credential-client-day"
-- version = 1
-- title = "Whether a browser, a library or both used a credential, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "credential"
-- retention_days = 15
-- ---
-- What two-clients-on-one-key looks at.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    credential,
    bool_or(client_family IN ('browser', 'console')) AS browsed,
    bool_or(client_family IN ('sdk', 'ai-sdk', 'google-library', 'http-library', 'automation')) AS scripted,
    max(credential_label) AS label,
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
GROUP BY 1, 2
