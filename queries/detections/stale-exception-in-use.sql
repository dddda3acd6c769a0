-- ---
-- id = "stale-exception-in-use"
-- version = 1
-- title = "An exception that has expired, or that nobody reviewed, is still used"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 300
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "exception_grantor"
-- mode = "active"
-- frameworks = ["CSF ID.RA-07", "CSF PR.AA-05", "AI RMF GOVERN 1.5", "OWASP NHI1"]
--
-- [parameters]
-- p_production_min = 0.8   # start value, not yet calibrated
-- confidence_min = 0.6     # start value, not yet calibrated: a header or a model id alone is not enough
-- calls_min = 5            # start value, not yet calibrated: fewer are stragglers; they keep a finding open
-- grace_minutes = 60       # start value, not yet calibrated: a renewal that reaches the registry late
-- horizon_days = 90        # start value, not yet calibrated: what ended longer ago explains nothing of today's calls
-- review_days = 90         # start value, not yet calibrated: an exception that old was looked at, or is a habit
-- ---
-- Expired is meant as of event time: a call that no exception or grace covered (`excepted`), of a pilot whose exception
-- for it had ended by then. Of a valid exception the newest of grant and review counts; where another valid one covers
-- the same call, that one is asked too. Judged are exceptions for production traffic: what the others allow is no
-- single call. Whom to page is who granted it; that traffic is there at all pages its owner by
-- unpromoted-production-traffic.
WITH used AS (
    SELECT t.*
    FROM pilot_caller_day t
    WHERE t.day >= as_of() - INTERVAL '7 days'
      AND t.answered > 0 -- no case: where nothing was answered, last_seen is null and meets no exception
      AND t.stage IN ('proposed', 'pilot', 'approved')
      AND t.p_production >= $p_production_min
      AND t.confidence >= $confidence_min
      AND NOT t.synthetic
      AND NOT t.own_team
),
allowing AS (
    SELECT
        *,
        coalesce(greatest(granted_at, reviewed_at), granted_at) AS looked_at
    FROM exceptions
    WHERE allows = 'production_traffic'
),
renewed AS (
    SELECT t.pilot, t.last_seen
    FROM used t
    JOIN allowing e
        ON e.pilot = t.pilot
       AND e.granted_at <= t.last_seen
       AND e.expires_at > t.last_seen
       AND date_part('epoch', t.last_seen) - date_part('epoch', e.looked_at) < $review_days * 86400
    GROUP BY t.pilot, t.last_seen
),
stale AS (
    SELECT
        t.*, e.exception, e.granted_by, e.granted_at, e.expires_at, 'expired' AS reason, e.expires_at AS since
    FROM used t
    JOIN allowing e
        ON e.pilot = t.pilot
       AND date_part('epoch', t.last_seen) - date_part('epoch', e.expires_at) >= $grace_minutes * 60
       AND date_part('epoch', t.last_seen) - date_part('epoch', e.expires_at) < $horizon_days * 86400
    WHERE NOT t.excepted
    UNION ALL
    SELECT
        t.*, e.exception, e.granted_by, e.granted_at, e.expires_at, 'not reviewed' AS reason, e.looked_at AS since
    FROM used t
    JOIN allowing e
        ON e.pilot = t.pilot
       AND e.expires_at > t.last_seen
       AND date_part('epoch', t.last_seen) - date_part('epoch', e.looked_at) >= $review_days * 86400
    LEFT JOIN renewed r
        ON r.pilot = t.pilot
       AND r.last_seen = t.last_seen
    WHERE t.excepted
      AND r.pilot IS NULL
),
by_exception AS (
    SELECT
        pilot, exception, granted_by, granted_at, expires_at, reason, since,
        sum(answered) AS answered,
        count(DISTINCT caller) AS callers,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM stale
    GROUP BY pilot, exception, granted_by, granted_at, expires_at, reason, since
),
ranked AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY pilot ORDER BY reason, since DESC, exception) AS place_in_list,
        string_agg(exception, ', ') OVER (
            PARTITION BY pilot ORDER BY exception ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS names
    FROM by_exception
)
SELECT
    q.pilot AS subject,
    CASE WHEN q.answered >= $calls_min THEN 'fire' ELSE 'hold' END AS level,
    CASE WHEN q.reason = 'expired' THEN 0.9 ELSE 0.5 END AS score,
    1.0 AS coverage,
    CASE WHEN q.reason = 'expired' THEN 'medium' ELSE 'low' END AS severity,
    q.first_seen,
    q.last_seen,
    concat('Exception ', q.exception, ' of pilot ', p.name, ' is still used') AS title,
    concat(
        'Exception ', q.exception, ', granted by ', q.granted_by, ' on ', to_char(q.granted_at, '%Y-%m-%d'),
        CASE WHEN q.reason = 'expired'
            THEN concat(', expired on ', to_char(q.expires_at, '%Y-%m-%d'))
            ELSE concat(' and last looked at on ', to_char(q.since, '%Y-%m-%d'), ', is still valid') END,
        '. In the last 7 days "', p.name, '" answered ', q.answered, ' production requests of ', q.callers,
        CASE WHEN q.callers = 1 THEN ' caller' ELSE ' callers' END,
        CASE WHEN q.reason = 'expired' THEN ' that no exception covers any more.' ELSE ' under it.' END,
        ' Renew it, promote the pilot, or take it out of production.'
    ) AS explanation,
    q.sample_first,
    q.sample_last,
    q.pilot AS owner_pilot,
    p.team AS owner_team,
    q.granted_by AS owner_person,
    CAST(q.answered AS DOUBLE) AS term_requests,
    CAST(q.callers AS DOUBLE) AS term_callers,
    q.exception AS fact_exception,
    q.reason AS fact_reason,
    q.names AS fact_exceptions
FROM ranked q
JOIN pilots p ON p.pilot = q.pilot
WHERE q.place_in_list = 1
