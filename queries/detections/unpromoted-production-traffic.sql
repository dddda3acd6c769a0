-- ---
-- id = "unpromoted-production-traffic"
-- version = 2
-- title = "Unpromoted pilot receives production traffic"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 60
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "pilot_owner"
-- mode = "active"
-- frameworks = [
--     "CSF GV.RR-02", "CSF ID.AM-08", "CSF ID.RA-07", "CSF DE.CM-09",
--     "AI RMF GOVERN", "AI RMF MANAGE 1.1", "AI RMF MEASURE 2.4",
--     "OWASP NHI8",
-- ]
--
-- [parameters]
-- p_production_min = 0.8   # level from 0.4 to 0.8, 52 false at 0, 41 missed at 1
-- confidence_min = 0.6     # a header or a model id alone is not enough; level from 0 to 0.75, 39 missed at 0.9
-- requests_min = 20        # level from 10 to 40, 1 false at 0
-- callers_min = 2          # level from 0 to 4
-- days_min = 2             # level from 0 to 4
-- hold_requests_min = 5    # keeps a finding open, opens none; level from 0 to 10
-- ---
-- Calibrated on the companies of seeds 41 and 42, 41 incidents; queries/README.md says how to read the numbers above.
--
-- Stage, exceptions and the caller's team are those of event time. A pilot that is in production by now is
-- no longer shown: what it did before was a finding then. Coverage is the share of requests for which it could be
-- decided whether they came from the pilot's own team; where the pilot itself acts, that question does not arise.
-- Stages suspended and revoked are left to revoked-still-called, so that one fact pages once.
WITH qualified AS (
    SELECT t.*
    FROM pilot_caller_day t
    WHERE t.day >= as_of() - INTERVAL '7 days'
      AND t.answered > 0
      AND t.stage NOT IN ('production', 'suspended', 'revoked')
      AND t.p_production >= $p_production_min
      AND t.confidence >= $confidence_min
      AND NOT t.synthetic AND NOT t.excepted AND NOT t.own_team
),
by_caller AS (
    SELECT
        pilot, caller, sum(answered) AS answered,
        row_number() OVER (PARTITION BY pilot ORDER BY sum(answered) DESC, caller) AS place_in_list
    FROM qualified
    GROUP BY pilot, caller
),
callers AS (
    SELECT
        pilot,
        count(*) AS callers,
        string_agg(caller, ', ' ORDER BY place_in_list) FILTER (WHERE place_in_list <= 3) AS names
    FROM by_caller
    GROUP BY pilot
),
totals AS (
    SELECT
        pilot,
        sum(answered) AS answered,
        CAST(sum(CASE
            WHEN caller_team IS NOT NULL OR attribution IN ('role', 'entra_app', 'service_account') THEN answered
            ELSE 0 END) AS DOUBLE) / sum(answered) AS team_known,
        count(DISTINCT day) AS days,
        max(p_production) AS p_production,
        max(confidence) AS confidence,
        max(stage) AS stage,
        min(place) AS place,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM qualified
    GROUP BY pilot
),
judged AS (
    SELECT
        q.*, c.callers, c.names, p.name, p.team,
        p.external_users, p.sensitive_data, p.write_tools,
        p.promotion_refused_at <= q.last_seen AS refused,
        p.promotion_refused_at,
        q.answered >= $requests_min AND (c.callers >= $callers_min OR q.days >= $days_min) AS fires,
        1.0 - power(0.5, CAST(c.callers + q.days - 1 AS DOUBLE)) AS reach
    FROM totals q
    JOIN callers c ON c.pilot = q.pilot
    JOIN pilots p ON p.pilot = q.pilot
    LEFT JOIN pilot_stages s
        ON s.pilot = q.pilot AND s.stage = 'production'
       AND s.valid_from <= as_of() AND (s.valid_to IS NULL OR s.valid_to > as_of())
    WHERE s.pilot IS NULL
)
SELECT
    pilot AS subject,
    CASE WHEN fires THEN 'fire' ELSE 'hold' END AS level,
    round(p_production * confidence * reach, 4) AS score,
    round(team_known, 4) AS coverage,
    CASE
        WHEN coalesce(refused, false) THEN 'critical'
        WHEN external_users OR sensitive_data OR write_tools THEN 'high'
        ELSE 'medium'
    END AS severity,
    first_seen,
    last_seen,
    concat('Pilot ', name, ' is in production without promotion') AS title,
    concat(
        'In the last 7 days "', name, '" handled ', answered, ' production requests of ', callers,
        CASE WHEN callers = 1 THEN ' caller (' ELSE ' callers (' END, names,
        CASE WHEN callers > 3 THEN ' and others' ELSE '' END, ') on ', days,
        CASE WHEN days = 1 THEN ' day' ELSE ' days' END, ', while its stage was ', stage,
        '. The probability that this is production is ', round(p_production, 2), '.',
        CASE WHEN coalesce(refused, false)
            THEN concat(' Its promotion was refused on ', to_char(promotion_refused_at, '%Y-%m-%d'), '.')
            ELSE ' No complete promotion is registered.' END,
        CASE WHEN external_users THEN ' People outside the company use it.' ELSE '' END,
        CASE WHEN sensitive_data THEN ' It works on sensitive data.' ELSE '' END,
        CASE WHEN write_tools THEN ' It can change things by itself.' ELSE '' END,
        ' Promote it, grant an exception, or take it out of production.'
    ) AS explanation,
    sample_first,
    sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    CAST(answered AS DOUBLE) AS term_requests,
    CAST(callers AS DOUBLE) AS term_callers,
    CAST(days AS DOUBLE) AS term_days,
    p_production AS term_p_production,
    confidence AS term_attribution,
    round(reach, 4) AS term_reach,
    stage AS fact_stage,
    names AS fact_callers,
    place AS fact_place
FROM judged
WHERE answered >= least($requests_min, $hold_requests_min)
