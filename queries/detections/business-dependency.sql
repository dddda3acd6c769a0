-- ---
-- id = "business-dependency"
-- version = 5
-- title = "A business depends on an unpromoted pilot"
-- subject_kind = "pilot"
-- window_days = 14
-- revisit_days = [1, 7, 8, 21]
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
-- open_at = 0.5                # 6 false at 0.375, 1 missed at 0.625
-- page_at = 0.7                # start value, not yet calibrated
-- hold_at = 0.35               # start value, not yet calibrated
-- callers_min = 2              # one batch job is no business; level from 1.5 to 2, 1 false at 1, 2 missed at 2.5
-- business_days_min = 6        # four days round the clock touch five: 1 false at 5
-- callers_full = 5             # level from 0 to 10
-- teams_full = 3               # level from 0 to 6
-- business_days_full = 10      # level from 0 to 15, 1 missed at 20
-- uniform_share = 0.2976       # 50 business hours of a week's 168
-- cadence_cv_max = 0.3         # start value, not yet calibrated
-- busy_hours_max = 12          # start value, not yet calibrated: a fuller day has no rhythm of hours to see
-- clock_minutes_max = 6        # of a fuller day, calls in no more minutes of the hour: 13 calls at random fall so in 1 of 200,000 days
-- outage_gap_seconds = 300     # start value, not yet calibrated: failures closer than this are one outage
-- outages_min = 3              # start value, not yet calibrated: fewer are no evidence of anything
-- retry_seconds_min = 1        # start value, not yet calibrated: closer together it may be one request, logged twice
-- calm_minutes_min = 20        # start value, not yet calibrated: a pilot that always fails leaves nothing to compare
-- base_share_min = 0.02        # start value, not yet calibrated: else one coincidence makes a large lift
-- lift_z = 1.64                # one-sided 95% bound of a count
-- lift_full = 3                # start value, not yet calibrated
-- services_full = 10           # level from 0 to 20
-- people_full = 50             # level from 25 to 100
-- growth_days_min = 5          # start value, not yet calibrated
-- growth_full = 2              # start value, not yet calibrated: new callers a week
-- forecast_days_min = 7        # start value, not yet calibrated
-- forecast_days_max = 90       # start value, not yet calibrated: nobody can say what is further away
-- weight_breadth = 0.15        # level from 0.075 to 0.3, 1 missed at 0
-- weight_persistence = 0.15    # level from 0.075 to 0.225, 1 missed at 0, 6 false at 0.3
-- weight_regularity = 0.10     # level from 0 to 0.2
-- weight_reliance = 0.15       # level from 0.075 to 0.3, 6 false at 0
-- weight_failure_behaviour = 0.10   # level from 0 to 0.2
-- weight_propagation = 0.20    # level from 0 to 0.3, 1 missed at 0.4
-- weight_centrality = 0.10     # level from 0 to 0.2
-- weight_growth = 0.05         # level from 0 to 0.1
-- ---
-- Calibrated on the companies of seeds 41 and 42, ten incidents; queries/README.md says how to read the numbers above.
--
-- The index is the weighted mean of the terms that could be observed; coverage is the weight of those terms. One that
-- could not be observed is null, never zero:
-- reliance           nothing else is registered for the purpose
-- failure behaviour  fewer than `outages_min` outages of the pilot
-- propagation        so few outages in which it failed a caller whom somebody calls in turn, or no calm to compare with
-- centrality         nobody is seen to call its callers, no person to call the pilot
-- growth             fewer than `growth_days_min` business days
-- An outage is a run of failures of the pilot; each counts once, whatever the number of retries and of callers in it,
-- and of each caller only how it began: one bad night is one piece of evidence, and a pilot that always fails has one
-- outage. Requests are matched by minute, not by trace: a minute holds a storm of retries once, with ids and without.
WITH seen AS (
    SELECT t.*
    FROM pilot_caller_day t
    WHERE t.answered > 0
      AND t.stage <> 'production'
      AND t.confidence >= $confidence_min
      AND t.caller_production
      AND NOT t.synthetic AND NOT t.excepted AND NOT t.own_team
),
qualified AS (
    SELECT * FROM seen WHERE day >= as_of() - INTERVAL '14 days'
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
        SELECT purpose, service AS target FROM services
    )
    GROUP BY purpose
),
days AS (
    SELECT
        pilot, day,
        date_part('dow', day) BETWEEN 1 AND 5 AS is_business_day,
        count(*) AS callers,
        bit_or(hours) AS hours,
        count(*) FILTER (WHERE popcount(hours) > $busy_hours_max AND popcount(minutes) <= $clock_minutes_max)
            AS callers_by_the_clock
    FROM (
        SELECT pilot, day, caller, bit_or(hours) AS hours, bit_or(minutes) AS minutes
        FROM qualified
        GROUP BY pilot, day, caller
    )
    GROUP BY pilot, day
),
rhythm AS (
    SELECT
        pilot,
        count(*) FILTER (WHERE is_business_day) AS business_days,
        count(*) FILTER (WHERE callers_by_the_clock * 2 >= callers
                            OR (popcount(hours) <= $busy_hours_max
                                AND mask_cadence_cv(hours) < $cadence_cv_max)) AS rhythmic_days,
        count(*) AS active_days,
        bit_or(hours) FILTER (WHERE day < as_of() - INTERVAL '7 days') AS earlier_hours,
        bit_or(hours) FILTER (WHERE day >= as_of() - INTERVAL '7 days') AS later_hours
    FROM days
    GROUP BY pilot
),
-- Failures: what the callers did, and what became of them.
failed AS (
    SELECT
        f.pilot, f.caller, f.minute, f.failures, f.first_failed, f.last_failed,
        lead(f.first_failed) OVER (PARTITION BY f.pilot, f.caller ORDER BY f.minute) AS failed_again
    FROM pilot_failure_minute f
    JOIN by_caller b ON b.pilot = f.pilot AND b.caller = f.caller
    WHERE f.minute >= as_of() - INTERVAL '14 days'
),
beginnings AS (
    SELECT
        *,
        date_trunc('hour', minute) AS hour,
        CAST(date_part('minute', minute) AS BIGINT) AS bit,
        row_number() OVER (PARTITION BY pilot, caller, outage ORDER BY minute) AS place_in_outage
    FROM (
        SELECT
            *,
            sum(CASE WHEN goes_on THEN 0 ELSE 1 END) OVER (PARTITION BY pilot ORDER BY minute, caller) AS outage
        FROM (
            SELECT
                *,
                date_part('epoch', minute)
                    - date_part('epoch', lag(minute) OVER (PARTITION BY pilot ORDER BY minute, caller))
                    <= $outage_gap_seconds AS goes_on
            FROM failed
        )
    )
),
-- Minutes as masks of 60 bits an hour. To spread one is to set its neighbours too, in the hours beside it as well. The
-- steps stand on the left of each CROSS JOIN: that side is held, and looped over once a batch of the other.
answers AS (
    SELECT
        b.pilot, b.caller, u.hour,
        coalesce(bit_or(u.answered) FILTER (WHERE u.target = b.pilot), 0) AS answered,
        coalesce(bit_or(u.answered) FILTER (WHERE u.target <> b.pilot), 0) AS elsewhere
    FROM by_caller b
    JOIN pilots p ON p.pilot = b.pilot
    JOIN purpose_caller_hour u ON u.purpose = p.purpose AND u.caller = b.caller
    WHERE u.hour >= as_of() - INTERVAL '14 days'
    GROUP BY b.pilot, b.caller, u.hour
),
answers_soon AS (
    SELECT pilot, caller, hour, bit_or(answered) AS answered, bit_or(elsewhere) AS elsewhere
    FROM (
        SELECT
            pilot, caller,
            CASE step WHEN 0 THEN hour ELSE hour - INTERVAL '1 hour' END AS hour,
            CASE step WHEN 0 THEN answered | (answered >> 1) ELSE (answered & 1) << 59 END AS answered,
            CASE step WHEN 0 THEN elsewhere | (elsewhere >> 1) ELSE (elsewhere & 1) << 59 END AS elsewhere
        FROM (VALUES (0), (-1)) AS steps(step) CROSS JOIN answers
    )
    GROUP BY pilot, caller, hour
),
in_trouble AS (
    SELECT caller, hour, bit_or(failed) AS failed
    FROM (
        SELECT
            target AS caller,
            CASE step WHEN 0 THEN hour WHEN 1 THEN hour + INTERVAL '1 hour' ELSE hour - INTERVAL '1 hour' END AS hour,
            CASE step
                WHEN 0 THEN (failed | (failed << 1) | (failed >> 1)) & ((CAST(1 AS BIGINT) << 60) - 1)
                WHEN 1 THEN failed >> 59
                ELSE (failed & 1) << 59 END AS failed
        FROM (VALUES (0), (1), (-1)) AS steps(step) CROSS JOIN target_failure_hour
    )
    GROUP BY caller, hour
),
bad_hours AS (
    SELECT
        pilot, caller, date_trunc('hour', near) AS hour,
        bit_or(CAST(1 AS BIGINT) << CAST(date_part('minute', near) AS BIGINT)) AS failed
    FROM (
        SELECT
            pilot, caller,
            CASE step WHEN 0 THEN minute WHEN 1 THEN minute + INTERVAL '1 minute'
                ELSE minute - INTERVAL '1 minute' END AS near
        FROM (VALUES (0), (1), (-1)) AS steps(step) CROSS JOIN failed
    )
    GROUP BY 1, 2, 3
),
edges AS (
    SELECT target, caller, hll_merge(people) AS people
    FROM target_caller_day
    WHERE day >= as_of() - INTERVAL '14 days'
    GROUP BY target, caller
),
-- How often a caller is in trouble while the pilot answers it: what is to be expected of minutes of failure.
calm AS (
    SELECT
        a.pilot, a.caller,
        greatest(
            $base_share_min,
            (sum(popcount((a.answered - (a.answered & coalesce(f.failed, 0))) & coalesce(t.failed, 0))) + 1.0)
                / (sum(popcount(a.answered - (a.answered & coalesce(f.failed, 0)))) + 2.0)
        ) AS base_share
    FROM answers a
    LEFT JOIN bad_hours f ON f.pilot = a.pilot AND f.caller = a.caller AND f.hour = a.hour
    LEFT JOIN in_trouble t ON t.caller = a.caller AND t.hour = a.hour
    WHERE a.caller IN (SELECT target FROM edges)
    GROUP BY a.pilot, a.caller
    HAVING sum(popcount(a.answered - (a.answered & coalesce(f.failed, 0)))) >= $calm_minutes_min
),
reactions AS (
    SELECT
        b.pilot, b.outage,
        avg(CASE WHEN coalesce((s.elsewhere >> b.bit) & 1, 0) = 0 AND (
                date_part('epoch', b.last_failed) - date_part('epoch', b.first_failed) >= $retry_seconds_min
                OR b.failed_again <= b.first_failed + INTERVAL '60 seconds'
                OR (s.answered >> b.bit) & 1 = 1
            ) THEN 1.0 ELSE 0.0 END) AS retried,
        avg(coalesce((t.failed >> b.bit) & 1, 0)) FILTER (WHERE b.failures > 0 AND c.caller IS NOT NULL) AS followed,
        avg(c.base_share) FILTER (WHERE b.failures > 0) AS expected
    FROM beginnings b
    LEFT JOIN answers_soon s ON s.pilot = b.pilot AND s.caller = b.caller AND s.hour = b.hour
    LEFT JOIN in_trouble t ON t.caller = b.caller AND t.hour = b.hour
    LEFT JOIN calm c ON c.pilot = b.pilot AND c.caller = b.caller
    WHERE b.place_in_outage = 1
    GROUP BY b.pilot, b.outage
),
failures AS (
    SELECT
        pilot,
        count(*) AS outages,
        avg(retried) AS retried,
        count(followed) AS outages_to_follow,
        sum(followed) AS followed,
        power(greatest(sqrt(sum(followed)) - $lift_z / 2, 0.0), 2) / sum(expected) AS lift
    FROM reactions
    GROUP BY pilot
),
-- Who stands behind the callers: one hop is whoever calls the pilot, two hops whoever calls those.
services_near AS (
    SELECT b.pilot, count(DISTINCT CASE WHEN step = 1 THEN b.caller ELSE e.caller END) AS services
    FROM (VALUES (1), (2)) AS steps(step)
    CROSS JOIN by_caller b
    LEFT JOIN edges e ON e.target = b.caller AND e.caller <> b.pilot
    GROUP BY b.pilot
),
people_near AS (
    SELECT n.pilot, bool_or(n.target <> n.pilot) AS callers_are_called, hll_estimate(hll_merge(e.people)) AS people
    FROM (
        SELECT pilot, CASE WHEN step = 1 THEN pilot ELSE caller END AS target
        FROM (VALUES (1), (2)) AS steps(step) CROSS JOIN by_caller
    ) n
    JOIN edges e ON e.target = n.target
    GROUP BY n.pilot
),
-- Robust slopes: the median over all pairs of days. A day that is not over has not seen all its callers.
growing AS (
    SELECT
        a.pilot,
        median((b.callers - a.callers) * 7.0 * 86400 / (date_part('epoch', b.day) - date_part('epoch', a.day)))
            AS callers_a_week
    FROM days a
    JOIN days b ON b.pilot = a.pilot AND b.day > a.day
    WHERE a.is_business_day
      AND b.is_business_day
      AND b.day <= as_of() - INTERVAL '1 day'
    GROUP BY a.pilot
    HAVING count(DISTINCT b.day) + 1 >= $growth_days_min -- no case: where a finding opens there are as many
),
-- What breadth and persistence were at the end of each of the last days; the forecast lets the other terms stay.
levels AS (
    SELECT
        e.pilot, e.day,
        $weight_persistence * least(1.0, count(DISTINCT CASE
            WHEN date_part('dow', q.day) BETWEEN 1 AND 5 THEN q.day END) / $business_days_full)
        + $weight_breadth * CASE WHEN count(q.caller_team) = 0
            THEN least(1.0, count(DISTINCT q.caller) / $callers_full)
            ELSE (least(1.0, count(DISTINCT q.caller) / $callers_full)
                  + least(1.0, count(DISTINCT q.caller_team) / $teams_full)) / 2
        END AS level
    FROM days e
    JOIN seen q ON q.pilot = e.pilot AND q.day <= e.day AND q.day > e.day - INTERVAL '14 days'
    WHERE e.day > as_of() - INTERVAL '8 days'
      AND e.day <= as_of() - INTERVAL '1 day'
    GROUP BY e.pilot, e.day
),
steps AS (
    SELECT
        pilot, slope,
        row_number() OVER (PARTITION BY pilot ORDER BY slope) AS place,
        count(*) OVER (PARTITION BY pilot) AS places
    FROM (
        SELECT
            a.pilot,
            (b.level - a.level) * 86400 / (date_part('epoch', b.day) - date_part('epoch', a.day)) AS slope
        FROM levels a
        JOIN levels b ON b.pilot = a.pilot AND b.day > a.day
    )
),
trends AS (
    SELECT
        pilot,
        median(slope) AS slope,
        max(slope) FILTER (WHERE place <= ceil(places / 4.0)) AS slope_low,
        min(slope) FILTER (WHERE place > floor(places * 3 / 4.0)) AS slope_high
    FROM steps
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
        q.*, c.callers, c.names, p.name, p.team, r.business_days, r.active_days,
        f.outages, f.outages_to_follow, f.followed, f.lift, n.services, g.callers_a_week,
        t.slope, t.slope_low, t.slope_high,
        CAST(nullif(h.people, 0) AS DOUBLE) AS people,
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
        CASE WHEN u.targets > 1 THEN CAST(c.by_pilot AS DOUBLE) / c.by_purpose END AS reliance,
        CASE WHEN f.outages >= $outages_min THEN f.retried END AS failure_behaviour,
        CASE WHEN f.outages_to_follow >= $outages_min
            THEN least(1.0, greatest(0.0, (f.lift - 1.0) / ($lift_full - 1.0))) END AS propagation,
        CASE WHEN h.people > 0 OR h.callers_are_called
            THEN least(1.0, n.services / $services_full + h.people / $people_full)
        END AS centrality,
        CASE WHEN g.pilot IS NOT NULL THEN least(1.0, greatest(0.0, g.callers_a_week / $growth_full)) END AS growth
    FROM totals q
    JOIN callers c ON c.pilot = q.pilot
    JOIN rhythm r ON r.pilot = q.pilot
    JOIN pilots p ON p.pilot = q.pilot
    JOIN services_near n ON n.pilot = q.pilot
    LEFT JOIN people_near h ON h.pilot = q.pilot
    LEFT JOIN failures f ON f.pilot = q.pilot
    LEFT JOIN growing g ON g.pilot = q.pilot
    LEFT JOIN trends t ON t.pilot = q.pilot
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
            + CASE WHEN reliance IS NULL THEN 0.0 ELSE $weight_reliance END
            + CASE WHEN failure_behaviour IS NULL THEN 0.0 ELSE $weight_failure_behaviour END
            + CASE WHEN propagation IS NULL THEN 0.0 ELSE $weight_propagation END
            + CASE WHEN centrality IS NULL THEN 0.0 ELSE $weight_centrality END
            + CASE WHEN growth IS NULL THEN 0.0 ELSE $weight_growth END AS observed,
        $weight_breadth + $weight_persistence + $weight_regularity + $weight_reliance + $weight_failure_behaviour
            + $weight_propagation + $weight_centrality + $weight_growth AS whole
    FROM terms
),
judged AS (
    SELECT
        *,
        round((breadth * $weight_breadth + persistence * $weight_persistence + regularity * $weight_regularity
            + coalesce(reliance, 0.0) * $weight_reliance
            + coalesce(failure_behaviour, 0.0) * $weight_failure_behaviour
            + coalesce(propagation, 0.0) * $weight_propagation
            + coalesce(centrality, 0.0) * $weight_centrality
            + coalesce(growth, 0.0) * $weight_growth) / observed, 4) AS dependence
    FROM weighed
),
foreseen AS (
    SELECT
        *,
        ceil(($open_at - dependence) * observed / slope) AS days_left,
        ceil(($open_at - dependence) * observed / slope_high) AS days_left_min,
        CASE WHEN slope_low > 0.0 THEN ceil(($open_at - dependence) * observed / slope_low) END AS days_left_max,
        dependence < $open_at AND active_days >= $forecast_days_min
            AND ($open_at - dependence) * observed <= slope * $forecast_days_max AS is_foreseen
    FROM judged
)
SELECT
    pilot AS subject,
    CASE WHEN dependence >= $open_at AND callers >= $callers_min AND business_days >= $business_days_min
        THEN 'fire' ELSE 'hold' END AS level,
    dependence AS score,
    round(observed / whole, 4) AS coverage,
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
        CASE WHEN failure_behaviour IS NULL THEN ''
            ELSE concat(' In its ', outages, ' outages ', CAST(round(failure_behaviour * 100) AS BIGINT),
                '% of the callers that it failed asked it again within a minute and nothing else.')
        END,
        CASE WHEN propagation IS NULL THEN ''
            WHEN propagation = 0.0 THEN ' Its failures did not show in what its callers answer.'
            ELSE concat(' When it failed them, its callers failed those who call them: in ', round(followed, 1), ' of ',
                outages_to_follow, ' outages, at least ', round(lift, 1), ' times as often as without.')
        END,
        CASE WHEN centrality IS NULL THEN ''
            ELSE concat(' Within two hops stand ', services, CASE WHEN services = 1 THEN ' service' ELSE ' services' END,
                CASE WHEN people > 0.0 THEN concat(' and about ', CAST(people AS BIGINT), CASE WHEN people = 1.0 THEN ' person' ELSE ' people' END) ELSE '' END, '.')
        END,
        CASE WHEN growth > 0.0 THEN concat(' Its callers grow by ', round(callers_a_week, 1), ' a week.') ELSE '' END,
        ' Its stage was ', stage, '. Dependence is ', dependence, ', from terms that are ', CAST(round(observed / whole * 100) AS BIGINT),
        '% of the whole index',
        CASE WHEN reliance + failure_behaviour + propagation + centrality + growth IS NULL
            THEN concat('; not observed: ', concat_ws(', ',
                CASE WHEN reliance IS NULL THEN 'reliance' END,
                CASE WHEN failure_behaviour IS NULL THEN 'failure behaviour' END,
                CASE WHEN propagation IS NULL THEN 'propagation' END,
                CASE WHEN centrality IS NULL THEN 'centrality' END,
                CASE WHEN growth IS NULL THEN 'growth' END), '.')
            ELSE '.' END,
        CASE WHEN is_foreseen
            THEN concat(' At the pace of the last week it reaches ', $open_at, ' in ', CAST(days_left AS BIGINT),
                CASE WHEN days_left = 1.0 THEN ' day (' ELSE ' days (' END, CAST(days_left_min AS BIGINT),
                CASE WHEN days_left_max IS NULL THEN ' or more).' ELSE concat(' to ', CAST(days_left_max AS BIGINT), ').') END)
            ELSE '' END,
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
    round(failure_behaviour, 4) AS term_failure_behaviour,
    round(propagation, 4) AS term_propagation,
    round(centrality, 4) AS term_centrality,
    round(growth, 4) AS term_growth,
    CAST(callers AS DOUBLE) AS term_callers,
    CAST(teams AS DOUBLE) AS term_teams,
    CAST(business_days AS DOUBLE) AS term_business_days,
    CAST(outages AS DOUBLE) AS term_outages,
    round(lift, 4) AS term_lift,
    CASE WHEN centrality IS NOT NULL -- no case: none compares terms
        THEN CAST(services AS DOUBLE) END AS term_services_within_two_hops,
    people AS term_people_within_two_hops,
    round(callers_a_week, 4) AS term_callers_a_week,
    CASE WHEN is_foreseen THEN days_left END AS term_days_left, -- no case: none compares terms
    CASE WHEN is_foreseen THEN days_left_min END AS term_days_left_min, -- no case: none compares terms
    CASE WHEN is_foreseen THEN days_left_max END AS term_days_left_max, -- no case: none compares terms
    stage AS fact_stage,
    names AS fact_callers
FROM foreseen
WHERE dependence >= $hold_at
