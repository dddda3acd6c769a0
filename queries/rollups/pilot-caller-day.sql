-- ---
-- id = "pilot-caller-day"
-- version = 3
-- title = "Who calls which pilot, by day"
-- bucket = "day"
-- bucket_seconds = 86400
-- subject = "pilot"
-- retention_days = 22
--
-- [parameters]
-- business_hour_from = 8   # UTC; start value, not yet calibrated
-- business_hour_to = 18    # UTC; start value, not yet calibrated
-- ---
-- Stage, probability of production and the like are part of the key, not conditions: each detection sets its
-- own thresholds on them. Answered means outcome success: a refused or failed call is nobody's production. `hours` has
-- a bit for each hour of the day, `minutes` one for each minute of the hour.
SELECT
    date_bin(INTERVAL '1 day', event_time) AS day,
    pilot,
    coalesce(pilot_stage, 'unknown') AS stage,
    coalesce(caller, 'unknown') AS caller,
    caller_team,
    caller_production,
    own_team,
    synthetic,
    excepted,
    p_production,
    coalesce(attribution_confidence, 0.0) AS confidence,
    coalesce(attribution, 'unknown') AS attribution,
    count(*) AS requests,
    count(*) FILTER (WHERE outcome = 'success') AS answered,
    count(*) FILTER (
        WHERE outcome = 'success'
          AND date_part('dow', event_time) BETWEEN 1 AND 5
          AND date_part('hour', event_time) >= $business_hour_from
          AND date_part('hour', event_time) < $business_hour_to
    ) AS answered_in_business_hours,
    bit_or(CAST(1 AS BIGINT) << CAST(date_part('hour', event_time) AS BIGINT))
        FILTER (WHERE outcome = 'success') AS hours,
    bit_or(CAST(1 AS BIGINT) << CAST(date_part('minute', event_time) AS BIGINT))
        FILTER (WHERE outcome = 'success') AS minutes,
    min(coalesce(host, account, target, model)) AS place,
    min(event_time) FILTER (WHERE outcome = 'success') AS first_seen,
    max(event_time) FILTER (WHERE outcome = 'success') AS last_seen,
    min(position) FILTER (WHERE outcome = 'success') AS sample_first,
    max(position) FILTER (WHERE outcome = 'success') AS sample_last
FROM events
WHERE pilot IS NOT NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12
