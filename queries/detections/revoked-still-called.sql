-- ---
-- id = "revoked-still-called"
-- version = 1
-- title = "A suspended or revoked pilot is still called"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 60
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "pilot_owner"
-- mode = "active"
-- frameworks = [
--     "ATT&CK T1078.004", "ATLAS AML.T0012",
--     "CSF ID.AM-08", "CSF PR.AA-05",
--     "AI RMF MANAGE 2.4", "AI RMF GOVERN 1.7",
--     "OWASP ASI10", "OWASP NHI1",
-- ]
--
-- [parameters]
-- confidence_min = 0.6     # a header or a model id alone is not enough; level from 0 to 0.75, 5 missed at 0.9
-- grace_minutes = 15       # requests in flight, caches that run out; level from 7.5 to 30, 4 false at 0
-- denied_min = 5           # fewer refusals are a stray; level from 0 to 10
-- ---
-- Calibrated on the companies of seeds 41 and 42, 6 incidents; queries/README.md says how to read the numbers above.
--
-- The stage is that of event time. An answer is an incident; a refusal means that the stop works and that a caller
-- was not told. unpromoted-production-traffic leaves these stages to this query, so that one fact pages once.
-- The pilot's own team may look into what was suspended, not into what was revoked.
WITH qualified AS (
    SELECT t.*
    FROM stopped_pilot_day t
    JOIN pilot_stages e
        ON e.pilot = t.pilot
       AND e.stage = t.stage
       AND date_part('epoch', t.last_seen) - date_part('epoch', e.valid_from) >= $grace_minutes * 60
       AND (e.valid_to IS NULL OR e.valid_to > t.last_seen)
    WHERE t.day >= as_of() - INTERVAL '7 days'
      AND t.confidence >= $confidence_min
      AND NOT (t.own_team AND t.stage = 'suspended')
),
by_caller AS (
    SELECT
        pilot, caller, sum(requests) AS requests,
        row_number() OVER (PARTITION BY pilot ORDER BY sum(requests) DESC, caller) AS place_in_list
    FROM qualified
    GROUP BY pilot, caller
),
callers AS (
    SELECT
        pilot,
        count(*) AS callers,
        string_agg(caller, ', ' ORDER BY place_in_list) FILTER (WHERE place_in_list <= 10) AS names
    FROM by_caller
    GROUP BY pilot
),
totals AS (
    SELECT
        pilot,
        coalesce(sum(requests) FILTER (WHERE answered), 0) AS answered,
        coalesce(sum(requests) FILTER (WHERE NOT answered), 0) AS denied,
        max(confidence) AS confidence,
        min(place) AS place,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM qualified
    GROUP BY pilot
),
judged AS (
    SELECT q.*, c.callers, c.names, p.name, p.team, s.stage, s.valid_from AS stopped_at
    FROM totals q
    JOIN callers c ON c.pilot = q.pilot
    JOIN pilots p ON p.pilot = q.pilot
    JOIN pilot_stages s
        ON s.pilot = q.pilot
       AND s.stage IN ('suspended', 'revoked')
       AND s.valid_from <= as_of()
       AND (s.valid_to IS NULL OR s.valid_to > as_of())
)
SELECT
    pilot AS subject,
    CASE WHEN answered > 0 OR denied >= $denied_min THEN 'fire' ELSE 'hold' END AS level,
    round(CASE WHEN answered > 0 THEN confidence ELSE confidence / 2 END, 4) AS score,
    1.0 AS coverage,
    CASE WHEN answered > 0 THEN 'critical' ELSE 'medium' END AS severity,
    first_seen,
    last_seen,
    concat('Pilot ', name, ' is ', stage, ' and still ', CASE WHEN answered > 0 THEN 'answers' ELSE 'called' END)
        AS title,
    concat(
        '"', name, '" was ', stage, ' on ', to_char(stopped_at, '%Y-%m-%d'), '. In the last 7 days ',
        CASE WHEN answered > 0 THEN concat(answered, ' calls were answered all the same') ELSE 'no call was answered' END,
        CASE WHEN denied > 0 THEN concat(' and ', denied, ' were refused') ELSE '' END,
        ', from ', callers, CASE WHEN callers = 1 THEN ' caller (' ELSE ' callers (' END, names,
        CASE WHEN callers > 10 THEN ' and others' ELSE '' END, ').',
        CASE WHEN answered > 0
            THEN ' Take away what it runs with: the route, its role, its keys.'
            ELSE ' The stop holds; tell these callers, they are stranded.' END
    ) AS explanation,
    sample_first,
    sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    CAST(answered AS DOUBLE) AS term_answered,
    CAST(denied AS DOUBLE) AS term_denied,
    CAST(callers AS DOUBLE) AS term_callers,
    confidence AS term_attribution,
    stage AS fact_stage,
    names AS fact_stranded_callers,
    place AS fact_place
FROM judged
