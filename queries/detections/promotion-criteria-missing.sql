-- ---
-- id = "promotion-criteria-missing"
-- version = 1
-- title = "A promotion was approved without what policy requires"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 300
-- close_after_hours = 0
-- reopen_within_hours = 168
-- owner_role = "control_owner"
-- mode = "active"
-- frameworks = [
--     "CSF GV.RR-02", "CSF ID.AM-08", "CSF ID.RA-07", "CSF DE.CM-09",
--     "AI RMF GOVERN", "AI RMF MANAGE 1.1", "AI RMF MEASURE 2.4",
--     "OWASP NHI8",
-- ]
--
-- [parameters]
-- p_production_min = 0.8   # level from 0 to 1.6
-- confidence_min = 0.6     # a header or a model id alone is not enough; level from 0 to 1.2
-- ---
-- Calibrated on the companies of seeds 41 and 42, 6 incidents; queries/README.md says how to read the numbers above.
--
-- What is required depends on the pilot's profile: the registry lists what an approval lacks of it. Such an approval is
-- no promotion; a complete one, or a refusal that came later, settles it. Production traffic that relies on it is told
-- as evidence: it pages by itself as unpromoted-production-traffic, so it raises the severity only where the profile
-- is regulated and nobody signed for the risk before the exposure.
WITH decided AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY pilot ORDER BY decided_at DESC, outcome) AS newest,
        bool_or(outcome = 'approved' AND complete) OVER (PARTITION BY pilot) AS promoted
    FROM promotions
    WHERE decided_at <= as_of()
),
traffic AS (
    SELECT
        t.pilot,
        sum(t.answered) AS answered,
        count(DISTINCT t.caller) AS callers,
        max(t.last_seen) AS last_seen,
        min(t.sample_first) AS sample_first,
        max(t.sample_last) AS sample_last
    FROM pilot_caller_day t
    WHERE t.day >= as_of() - INTERVAL '7 days'
      AND t.answered > 0
      AND t.p_production >= $p_production_min
      AND t.confidence >= $confidence_min
      AND NOT t.synthetic
      AND NOT t.own_team
    GROUP BY t.pilot
),
judged AS (
    SELECT
        d.pilot, p.name, p.team, p.profile, p.regulated, s.stage,
        d.decided_at, d.decided_by, d.missing,
        coalesce(q.answered, 0) AS answered,
        coalesce(q.callers, 0) AS callers,
        greatest(d.decided_at, coalesce(q.last_seen, d.decided_at)) AS last_seen,
        q.sample_first, q.sample_last
    FROM decided d
    JOIN pilots p ON p.pilot = d.pilot
    JOIN pilot_stages s
        ON s.pilot = d.pilot
       AND s.stage NOT IN ('suspended', 'revoked')
       AND s.valid_from <= as_of()
       AND (s.valid_to IS NULL OR s.valid_to > as_of())
    LEFT JOIN traffic q ON q.pilot = d.pilot
    WHERE d.newest = 1
      AND d.outcome = 'approved'
      AND NOT d.promoted
)
SELECT
    pilot AS subject,
    'fire' AS level,
    CASE WHEN answered > 0 THEN 1.0 ELSE 0.6 END AS score,
    1.0 AS coverage,
    CASE WHEN answered > 0 AND regulated THEN 'high' ELSE 'medium' END AS severity,
    decided_at AS first_seen,
    last_seen,
    concat('The promotion of pilot ', name, ' lacks what policy requires') AS title,
    concat(
        decided_by, ' approved "', name, '" on ', to_char(decided_at, '%Y-%m-%d'), ', but policy ', profile,
        ' requires what was not shown: ', missing, '. It does not count; the stage is ', stage, '.',
        CASE WHEN answered > 0
            THEN concat(' Production relies on it: ', answered, ' requests of ', callers,
                CASE WHEN callers = 1 THEN ' caller' ELSE ' callers' END, ' in the last 7 days.')
            ELSE ' No production traffic relies on it yet.' END,
        ' Meet the criteria and decide again.'
    ) AS explanation,
    sample_first,
    sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    CAST(answered AS DOUBLE) AS term_production_requests,
    CAST(callers AS DOUBLE) AS term_callers,
    missing AS fact_missing_criteria,
    decided_by AS fact_decided_by,
    profile AS fact_profile,
    stage AS fact_stage
FROM judged
