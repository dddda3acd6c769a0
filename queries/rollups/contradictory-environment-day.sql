-- ---
-- id = "contradictory-environment-day"
-- version = 1
-- title = "Calls of a pilot that their source calls a test and the production map calls production, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "pilot"
-- retention_days = 9
--
-- [parameters]
-- p_production_min = 0.8   # start value, not yet calibrated
-- ---
-- What else says production outweighs the word of the source: p_production has no place for what speaks against it.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    pilot,
    environment,
    min(coalesce(host, account, target)) AS place,
    count(*) AS calls,
    max(p_production) AS p_production,
    min(event_time) AS first_seen,
    max(event_time) AS last_seen,
    min(position) AS sample_first,
    max(position) AS sample_last
FROM events
WHERE pilot IS NOT NULL
  AND p_production >= $p_production_min
  AND outcome = 'success'
  AND NOT synthetic
  AND lower(environment) IN (
      'dev', 'development', 'test', 'testing', 'qa', 'uat', 'sandbox', 'stage', 'staging', 'preprod', 'pre-production',
      'nonprod', 'non-production'
  )
GROUP BY 1, 2, 3
