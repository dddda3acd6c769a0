-- ---
-- id = "credential-ai-day"
-- version = 1
-- title = "Whether a credential listed models and used one, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "credential"
-- retention_days = 14
-- ---
-- Programs that list models whenever they start do it every day: a habit is no sign of a thief.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    credential,
    bool_or(ai_operation = 'list' AND (
        action LIKE '%:List%' OR action LIKE '%.List%' OR coalesce(route, '') LIKE '%/models%'
    )) AS listed,
    bool_or(ai_operation = 'invoke' AND outcome = 'success') AS answered
FROM events
WHERE credential IS NOT NULL AND ai_provider IS NOT NULL AND principal_kind <> 'aws_service'
GROUP BY 1, 2
