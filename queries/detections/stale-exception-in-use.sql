-- ---
-- id = "stale-exception-in-use"
-- version = 2
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
-- p_production_min = 0.8   # level from 0 to 0.8, 4 missed at 1
-- confidence_min = 0.6     # a header or a model id alone is not enough; level from 0 to 0.75, 4 missed at 0.9
-- calls_min = 5            # fewer are stragglers; they keep a finding open; level from 0 to 10
-- grace_minutes = 60       # a renewal that reaches the registry late; level from 0 to 120
-- horizon_days = 90        # what ended longer ago explains nothing of today's calls; level from 45 to 180, 4 missed at 0
-- review_days = 90         # an exception that old was looked at, or is a habit; 8 false at 67.5, 2 missed at 112.5
-- ---
-- Calibrated on the companies of seeds 41 and 42, 6 incidents; queries/README.md says how to read the numbers above.
--
-- Expired is meant as of event time: a call that no exception or grace covered (`excepted`), of a pilot whose exception
-- for it had ended by then. Of a valid exception the newest of grant and review counts; where another valid one covers
-- the same call, that one is asked too. Data outside the scope and unattended actions that an exception covers are not
-- among what the other rollups keep: of those exceptions it can be told that they expired, not that nobody reviewed them.
-- Exceptions for shared credentials belong to no call of a pilot and are not judged. Whom to page is who granted it; that traffic is there at all pages its owner by
-- unpromoted-production-traffic.
WITH used AS (
    SELECT
        pilot, caller, answered, excepted, first_seen, last_seen, sample_first, sample_last,
        'production_traffic' AS allows
    FROM pilot_caller_day t
    WHERE t.day >= as_of() - INTERVAL '7 days'
      AND t.answered > 0 -- no case: where nothing was answered, last_seen is null and meets no exception
      AND t.stage IN ('proposed', 'pilot', 'approved')
      AND t.p_production >= $p_production_min
      AND t.confidence >= $confidence_min
      AND NOT t.synthetic
      AND NOT t.own_team
    UNION ALL
    SELECT
        pilot, data_store, requests, false, first_seen, last_seen, sample_first, sample_last, 'data_out_of_scope'
    FROM pilot_data_day
    WHERE day >= as_of() - INTERVAL '7 days'
      AND answered
      AND confidence >= $confidence_min
    UNION ALL
    SELECT pilot, tool, calls, false, first_seen, last_seen, sample_first, sample_last, 'unattended_actions'
    FROM unscoped_tool_minute
    WHERE minute >= as_of() - INTERVAL '7 days'
      AND confidence >= $confidence_min
),
allowing AS (
    SELECT
        *,
        coalesce(greatest(granted_at, reviewed_at), granted_at) AS looked_at
    FROM exceptions
),
renewed AS (
    SELECT t.pilot, t.last_seen
    FROM used t
    JOIN allowing e
        ON e.pilot = t.pilot
       AND e.allows = t.allows
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
       AND e.allows = t.allows
       AND date_part('epoch', t.last_seen) - date_part('epoch', e.expires_at) >= $grace_minutes * 60
       AND date_part('epoch', t.last_seen) - date_part('epoch', e.expires_at) < $horizon_days * 86400
    WHERE NOT t.excepted
    UNION ALL
    SELECT
        t.*, e.exception, e.granted_by, e.granted_at, e.expires_at, 'not reviewed' AS reason, e.looked_at AS since
    FROM used t
    JOIN allowing e
        ON e.pilot = t.pilot
       AND e.allows = t.allows
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
        pilot, exception, granted_by, granted_at, expires_at, reason, since, allows,
        sum(answered) AS answered,
        count(DISTINCT caller) AS callers,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM stale
    GROUP BY pilot, exception, granted_by, granted_at, expires_at, reason, since, allows
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
        '. In the last 7 days "', p.name, '" ',
        CASE q.allows
            WHEN 'production_traffic' THEN concat('answered ', q.answered, ' production requests of ', q.callers,
                CASE WHEN q.callers = 1 THEN ' caller' ELSE ' callers' END)
            WHEN 'data_out_of_scope' THEN concat('touched ', q.callers,
                CASE WHEN q.callers = 1 THEN ' data store' ELSE ' data stores' END, ' outside its data scope ',
                q.answered, ' times')
            ELSE concat('called ', q.callers, CASE WHEN q.callers = 1 THEN ' tool' ELSE ' tools' END,
                ' outside its tool scope ', q.answered, ' times')
        END,
        CASE WHEN q.reason = 'expired' THEN ' that no exception covers any more.' ELSE ' under it.' END,
        CASE q.allows
            WHEN 'production_traffic' THEN ' Renew it, promote the pilot, or take it out of production.'
            WHEN 'data_out_of_scope' THEN ' Renew it, have the data scope approved, or take the access away.'
            ELSE ' Renew it, have the tool scope approved, or put a person before these tools.'
        END
    ) AS explanation,
    q.sample_first,
    q.sample_last,
    q.pilot AS owner_pilot,
    p.team AS owner_team,
    q.granted_by AS owner_person,
    CAST(q.answered AS DOUBLE) AS term_requests,
    CAST(q.callers AS DOUBLE) AS term_callers,
    q.exception AS fact_exception,
    q.allows AS fact_allows,
    q.reason AS fact_reason,
    q.names AS fact_exceptions
FROM ranked q
JOIN pilots p ON p.pilot = q.pilot
WHERE q.place_in_list = 1
