-- ---
-- id = "unregistered-ai-workload"
-- version = 1
-- title = "A workload calls AI and no pilot is registered for it"
-- subject_kind = "caller"
-- window_days = 14
-- grid_seconds = 60
-- close_after_hours = 24
-- reopen_within_hours = 336
-- owner_role = "team_owner"
-- mode = "active"
-- frameworks = ["CSF ID.AM-02", "CSF ID.AM-04", "CSF ID.AM-08", "AI RMF GOVERN 1.6"]
--
-- [parameters]
-- calls_min = 10   # level from 10 to 20, 2 false at 7.5
-- days_min = 2     # level from 1.5 to 2, 4 false at 1, 1 missed at 2.5
-- ---
-- Calibrated on the companies of seeds 41 and 42, 12 incidents; queries/README.md says how to read the numbers above.
--
-- No selector attributes these calls. A production service of the registry is known, and so is whom it calls: it is
-- left out, as are people (by log-odds), lists of models, refused calls and load tests. Coverage is the share of calls
-- of which the registry knows the caller's team.
WITH totals AS (
    SELECT
        caller,
        sum(calls) AS calls,
        count(DISTINCT day) AS days,
        string_agg(DISTINCT ai_provider, ', ' ORDER BY ai_provider) AS providers,
        max(caller_team) AS team,
        CAST(coalesce(sum(calls) FILTER (WHERE caller_team IS NOT NULL), 0) AS DOUBLE) / sum(calls) AS team_known,
        max(model) AS model,
        min(place) AS place,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM unregistered_ai_day
    WHERE day >= as_of() - INTERVAL '14 days'
    GROUP BY caller
)
SELECT
    caller AS subject,
    CASE WHEN calls >= $calls_min OR days >= $days_min THEN 'fire' ELSE 'hold' END AS level,
    round(1.0 - power(0.5, days + least(calls / $calls_min, 3.0)), 4) AS score,
    round(team_known, 4) AS coverage,
    'medium' AS severity,
    first_seen,
    last_seen,
    concat('Unregistered AI workload ', caller) AS title,
    concat(
        caller, ' called models of ', providers, ' ', calls, CASE WHEN calls = 1 THEN ' time' ELSE ' times' END,
        ' on ', days, CASE WHEN days = 1 THEN ' day' ELSE ' days' END,
        ' in the last 14 days, and no selector of the registry says which pilot that is.',
        CASE WHEN team IS NULL THEN ' Nor does it know the team.' ELSE concat(' The caller belongs to team ', team, '.') END,
        ' Register it as a pilot, or stop it.'
    ) AS explanation,
    sample_first,
    sample_last,
    CAST(NULL AS VARCHAR) AS owner_pilot,
    team AS owner_team,
    CAST(calls AS DOUBLE) AS term_calls,
    CAST(days AS DOUBLE) AS term_days,
    providers AS fact_providers,
    model AS fact_model,
    place AS fact_place
FROM totals
