-- ---
-- id = "business-dependency"
-- version = 1
-- title = "A business depends on an unpromoted pilot"
-- subject_kind = "pilot"
-- window_days = 14
-- revisit_days = [7]
-- grid_seconds = 3600
-- all_subjects = true      # reliance compares a pilot with everything else that serves its purpose
-- close_after_hours = 168
-- reopen_within_hours = 336
-- owner_role = "pilot_owner"
-- mode = "active"
-- frameworks = [
--     "CSF GV.OC-05", "CSF ID.AM-05", "CSF DE.AE-04",
--     "AI RMF MAP 1.4", "AI RMF MAP 5.1", "AI RMF MANAGE 4.1",
--     "OWASP ASI08",
-- ]
--
-- [parameters]
-- confidence_min = 0.6         # start value, not yet calibrated
-- open_at = 0.5                # start value, not yet calibrated
-- page_at = 0.7                # start value, not yet calibrated
-- hold_at = 0.35               # start value, not yet calibrated
-- callers_min = 2              # start value, not yet calibrated: one batch job is no business
-- business_days_min = 5        # start value, not yet calibrated: less than a working week is a trial
-- callers_full = 5             # start value, not yet calibrated
-- teams_full = 3               # start value, not yet calibrated
-- business_days_full = 10      # start value, not yet calibrated
-- uniform_share = 0.2976       # 50 business hours of a week's 168
-- cadence_cv_max = 0.3         # start value, not yet calibrated
-- busy_hours_max = 12          # start value, not yet calibrated: a fuller day has no rhythm to see
-- weight_breadth = 0.15        # start value, not yet calibrated
-- weight_persistence = 0.15    # start value, not yet calibrated
-- weight_regularity = 0.10     # start value, not yet calibrated
-- weight_reliance = 0.15       # start value, not yet calibrated
-- ---
-- The index is the weighted mean of the terms that could be observed; coverage is the weight of those terms.
-- Failure behaviour (.10), propagation (.20), centrality (.10) and growth (.05) are not observed in this
-- version: they are null, never zero. Reliance is null where nothing else is registered for the purpose.
WITH qualified AS (
    SELECT t.*
    FROM pilot_caller_day t
    WHERE t.day >= as_of() - INTERVAL '14 days'
      AND t.answered > 0
      AND t.stage <> 'production'
      AND t.confidence >= $confidence_min
      AND t.caller_production
      AND NOT t.synthetic AND NOT t.excepted AND NOT t.own_team
),
by_caller AS (
    SELECT
        pilot, caller, sum(answered) AS answered,
        row_number() OVER (PARTITION BY pilot ORDER BY sum(answered) DESC, caller) AS place_in_list
    FROM qualified
    GROUP BY pilot, caller
),
served AS (
    SELECT purpose, caller, sum(answered) AS answered
    FROM purpose_caller_day
    WHERE day >= as_of() - INTERVAL '14 days'
    GROUP BY purpose, caller
),
callers AS (
    SELECT
        b.pilot,
        count(*) AS callers,
        string_agg(b.caller, ', ' ORDER BY b.place_in_list) FILTER (WHERE b.place_in_list <= 3) AS names,
        sum(b.answered) AS by_pilot,
        sum(greatest(coalesce(v.answered, 0), b.answered)) AS by_purpose
    FROM by_caller b
    JOIN pilots p ON p.pilot = b.pilot
    LEFT JOIN served v ON v.purpose = p.purpose AND v.caller = b.caller
    GROUP BY b.pilot
),
purposes AS (
    SELECT purpose, count(*) AS targets
    FROM (
        SELECT purpose, pilot AS target FROM pilots
        UNION ALL
        SELECT purpose, service AS target FROM services WHERE purpose IS NOT NULL
    )
    GROUP BY purpose
),
days AS (
    SELECT
        pilot, day,
        date_part('dow', day) BETWEEN 1 AND 5 AS is_business_day,
        bit_or(hours) AS hours
    FROM qualified
    GROUP BY pilot, day
),
rhythm AS (
    SELECT
        pilot,
        count(*) FILTER (WHERE is_business_day) AS business_days,
        count(*) FILTER (WHERE popcount(hours) <= $busy_hours_max
                           AND mask_cadence_cv(hours) < $cadence_cv_max) AS rhythmic_days,
        count(*) AS active_days,
        bit_or(hours) FILTER (WHERE day < as_of() - INTERVAL '7 days') AS earlier_hours,
        bit_or(hours) FILTER (WHERE day >= as_of() - INTERVAL '7 days') AS later_hours
    FROM days
    GROUP BY pilot
),
totals AS (
    SELECT
        pilot,
        sum(answered) AS answered,
        CAST(sum(answered_in_business_hours) AS DOUBLE) / sum(answered) AS business_share,
        count(DISTINCT caller_team) AS teams,
        max(stage) AS stage,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM qualified
    GROUP BY pilot
),
terms AS (
    SELECT
        q.*, c.callers, c.names, p.name, p.team, r.business_days,
        CASE WHEN q.teams = 0
            THEN least(1.0, c.callers / $callers_full)
            ELSE (least(1.0, c.callers / $callers_full) + least(1.0, q.teams / $teams_full)) / 2
        END AS breadth,
        least(1.0, r.business_days / $business_days_full) AS persistence,
        greatest(
            (q.business_share - $uniform_share) / (1.0 - $uniform_share),
            CAST(r.rhythmic_days AS DOUBLE) / r.active_days,
            CASE WHEN popcount(r.earlier_hours | r.later_hours) <= $busy_hours_max
                THEN CAST(popcount(r.earlier_hours & r.later_hours) AS DOUBLE)
                     / popcount(r.earlier_hours | r.later_hours) END,
            0.0
        ) AS regularity,
        CASE WHEN u.targets > 1 THEN CAST(c.by_pilot AS DOUBLE) / c.by_purpose END AS reliance
    FROM totals q
    JOIN callers c ON c.pilot = q.pilot
    JOIN rhythm r ON r.pilot = q.pilot
    JOIN pilots p ON p.pilot = q.pilot
    LEFT JOIN purposes u ON u.purpose = p.purpose
    LEFT JOIN pilot_stages s
        ON s.pilot = q.pilot AND s.stage = 'production'
       AND s.valid_from <= as_of() AND (s.valid_to IS NULL OR s.valid_to > as_of())
    WHERE s.pilot IS NULL
),
weighed AS (
    SELECT
        *,
        $weight_breadth + $weight_persistence + $weight_regularity
            + CASE WHEN reliance IS NULL THEN 0.0 ELSE $weight_reliance END AS observed
    FROM terms
),
judged AS (
    SELECT
        *,
        round((breadth * $weight_breadth + persistence * $weight_persistence + regularity * $weight_regularity
            + coalesce(reliance, 0.0) * $weight_reliance) / observed, 4) AS dependence
    FROM weighed
)
SELECT
    pilot AS subject,
    CASE WHEN dependence >= $open_at AND callers >= $callers_min AND business_days >= $business_days_min
        THEN 'fire' ELSE 'hold' END AS level,
    dependence AS score,
    round(observed, 4) AS coverage,
    CASE WHEN dependence >= $page_at THEN 'high' ELSE 'medium' END AS severity,
    first_seen,
    last_seen,
    concat('Production depends on pilot ', name) AS title,
    concat(
        'In the last 14 days ', callers, CASE WHEN callers = 1 THEN ' production caller' ELSE ' production callers' END,
        ' (', names, CASE WHEN callers > 3 THEN ' and others' ELSE '' END, ')',
        CASE WHEN teams > 0 THEN concat(' of ', teams, CASE WHEN teams = 1 THEN ' team' ELSE ' teams' END) ELSE '' END,
        ' had ', answered, ' requests answered by "', name, '" on ', business_days, ' business days, ',
        CAST(round(business_share * 100) AS BIGINT), '% of them in business hours.',
        CASE WHEN reliance IS NULL
            THEN ' Nothing else is registered for its purpose, so what they could use instead is not known.'
            ELSE concat(' Of all that these callers asked for this purpose, ', CAST(round(reliance * 100) AS BIGINT), '% went to the pilot.')
        END,
        ' Its stage was ', stage, '. Dependence is ', dependence, ', from terms that are ', CAST(round(observed * 100) AS BIGINT),
        '% of the whole index: failure behaviour, propagation, centrality and growth were not observed.',
        ' Promote the pilot or move its callers before it changes or stops.'
    ) AS explanation,
    sample_first,
    sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    round(breadth, 4) AS term_breadth,
    round(persistence, 4) AS term_persistence,
    round(regularity, 4) AS term_regularity,
    round(reliance, 4) AS term_reliance,
    CAST(NULL AS DOUBLE) AS term_failure_behaviour,
    CAST(NULL AS DOUBLE) AS term_propagation,
    CAST(NULL AS DOUBLE) AS term_centrality,
    CAST(NULL AS DOUBLE) AS term_growth,
    CAST(callers AS DOUBLE) AS term_callers,
    CAST(teams AS DOUBLE) AS term_teams,
    CAST(business_days AS DOUBLE) AS term_business_days,
    stage AS fact_stage,
    names AS fact_callers
FROM judged
WHERE dependence >= $hold_at
