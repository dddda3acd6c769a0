-- ---
-- id = "contradictory-environment"
-- version = 1
-- title = "Sources contradict each other about whether a pilot runs in production"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 3600
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "pilot_owner"
-- mode = "active"
-- frameworks = []
--
-- [parameters]
-- calls_min = 50       # level from 0 to 100
-- hold_calls_min = 10  # keeps a finding open, opens none; level from 0 to 20
-- ---
-- Calibrated on the companies of seeds 41 and 42, 6 incidents; queries/README.md says how to read the numbers above.
--
-- A matter of data quality: always low, never a page. Either the production map is too wide or a tag is wrong; until
-- that is settled the other detections go by the map.
WITH totals AS (
    SELECT
        t.pilot,
        sum(t.calls) AS calls,
        count(DISTINCT t.day) AS days,
        string_agg(DISTINCT t.environment, ', ' ORDER BY t.environment) AS environments,
        max(t.p_production) AS p_production,
        min(t.place) AS place,
        min(t.first_seen) AS first_seen,
        max(t.last_seen) AS last_seen,
        min(t.sample_first) AS sample_first,
        max(t.sample_last) AS sample_last
    FROM contradictory_environment_day t
    WHERE t.day >= as_of() - INTERVAL '7 days'
    GROUP BY t.pilot
)
SELECT
    q.pilot AS subject,
    CASE WHEN q.calls >= $calls_min THEN 'fire' ELSE 'hold' END AS level,
    round(q.p_production, 4) AS score,
    1.0 AS coverage,
    'low' AS severity,
    q.first_seen,
    q.last_seen,
    concat('Is pilot ', p.name, ' in production? Sources contradict each other') AS title,
    concat(
        'In the last 7 days ', q.calls, ' calls of "', p.name, '" at ', q.place, ' were production with a probability of ',
        round(q.p_production, 2), ', while their source calls it ', q.environments,
        '. Correct the production map or the tag.'
    ) AS explanation,
    q.sample_first,
    q.sample_last,
    q.pilot AS owner_pilot,
    p.team AS owner_team,
    CAST(q.calls AS DOUBLE) AS term_calls,
    CAST(q.days AS DOUBLE) AS term_days,
    q.p_production AS term_p_production,
    q.environments AS fact_environments,
    q.place AS fact_place
FROM totals q
JOIN pilots p ON p.pilot = q.pilot
WHERE q.calls >= $hold_calls_min
