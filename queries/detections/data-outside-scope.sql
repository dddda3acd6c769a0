-- ---
-- id = "data-outside-scope"
-- version = 1
-- title = "Pilot touches data outside its approved scope"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 60
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "data_owner"
-- mode = "active"
-- frameworks = [
--     "ATT&CK T1078.004", "CSF ID.AM-07", "CSF PR.AA-05", "CSF DE.CM-09",
--     "AI RMF MAP 3.3", "AI RMF MEASURE 2.10", "OWASP ASI02", "OWASP ASI03", "OWASP NHI5",
-- ]
--
-- [parameters]
-- confidence_min = 0.6   # level from 0 to 0.9, 7 missed at 1.2
-- touches_min = 3        # fewer keep a finding open; one secret is enough; level from 0 to 6
-- ---
-- Calibrated on the companies of seeds 41 and 42, 7 incidents; queries/README.md says how to read the numbers above.
--
-- Scope and exceptions are those of event time. A pilot that declared no data scope is not judged, nor are secrets and
-- topics where its scope names none: what it signs in with is seldom written there. That is not observable, and no
-- finding. Its own logs and artifacts have to be in the scope. What was denied is the control at work: it is told with a
-- finding and makes none. Stores are buckets, tables, topics, storage accounts and secrets; what lies within a bucket is
-- not told apart. Of a store whose log records no reads of data nothing is seen: coverage cannot say so.
WITH outside AS (
    SELECT *
    FROM pilot_data_day
    WHERE day >= as_of() - INTERVAL '7 days'
      AND confidence >= $confidence_min
),
by_store AS (
    SELECT
        pilot, data_store, sum(requests) AS touches,
        row_number() OVER (PARTITION BY pilot ORDER BY sum(requests) DESC, data_store) AS place_in_list
    FROM outside
    WHERE answered
    GROUP BY pilot, data_store
),
stores AS (
    SELECT
        pilot,
        count(*) AS stores,
        count(*) FILTER (WHERE data_store LIKE 'secret://%') AS secrets,
        string_agg(data_store, ', ' ORDER BY place_in_list) FILTER (WHERE place_in_list <= 3) AS names
    FROM by_store
    GROUP BY pilot
),
refused AS (
    SELECT pilot, sum(requests) AS denied
    FROM outside
    WHERE NOT answered
    GROUP BY pilot
),
totals AS (
    SELECT
        pilot,
        sum(requests) AS touches,
        count(DISTINCT day) AS days,
        max(confidence) AS confidence,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM outside
    WHERE answered
    GROUP BY pilot
)
SELECT
    t.pilot AS subject,
    CASE WHEN t.touches >= $touches_min OR s.secrets > 0 THEN 'fire' ELSE 'hold' END AS level,
    round(t.confidence * (1.0 - power(0.5, CAST(s.stores + t.days AS DOUBLE))), 4) AS score,
    1.0 AS coverage,
    CASE WHEN p.sensitive_data OR s.secrets > 0 THEN 'high' ELSE 'medium' END AS severity,
    t.first_seen,
    t.last_seen,
    concat('Pilot ', p.name, ' touches data outside its approved scope') AS title,
    concat(
        'In the last 7 days "', p.name, '" touched ', s.stores,
        CASE WHEN s.stores = 1 THEN ' data store' ELSE ' data stores' END, ' outside its data scope: ', s.names,
        CASE WHEN s.stores > 3 THEN ' and others' ELSE '' END, '; ', t.touches,
        CASE WHEN t.touches = 1 THEN ' time' ELSE ' times' END, ' on ', t.days,
        CASE WHEN t.days = 1 THEN ' day.' ELSE ' days.' END,
        CASE WHEN s.secrets > 0 THEN ' Secrets are among them.' ELSE '' END,
        CASE WHEN p.sensitive_data THEN ' It works on sensitive data.' ELSE '' END,
        CASE WHEN r.denied > 0 THEN concat(' It was denied ', r.denied, ' more.') ELSE '' END,
        ' Take the permission away, have the scope approved, or grant an exception.'
    ) AS explanation,
    t.sample_first,
    t.sample_last,
    t.pilot AS owner_pilot,
    p.team AS owner_team,
    CAST(t.touches AS DOUBLE) AS term_touches,
    CAST(s.stores AS DOUBLE) AS term_stores,
    CAST(s.secrets AS DOUBLE) AS term_secrets,
    CAST(t.days AS DOUBLE) AS term_days,
    CAST(coalesce(r.denied, 0) AS DOUBLE) AS term_denied,
    t.confidence AS term_attribution,
    s.names AS fact_stores
FROM totals t
JOIN stores s ON s.pilot = t.pilot
JOIN pilots p ON p.pilot = t.pilot
LEFT JOIN refused r ON r.pilot = t.pilot
