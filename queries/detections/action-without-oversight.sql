-- ---
-- id = "action-without-oversight"
-- version = 2
-- title = "Pilot acts outside its tool scope and nobody approved it"
-- subject_kind = "pilot"
-- window_days = 7
-- grid_seconds = 300
-- all_subjects = true      # whether approvals arrive at all is asked of all pilots together
-- close_after_hours = 24
-- reopen_within_hours = 168
-- owner_role = "control_owner"
-- mode = "active"
-- frameworks = [
--     "ATLAS AML.T0053", "CSF GV.RR-02", "CSF PR.AA-05", "AI RMF MAP 3.5", "AI RMF GOVERN 3.2",
--     "OWASP ASI02", "OWASP ASI09",
-- ]
--
-- [parameters]
-- confidence_min = 0.6    # level from 0 to 0.9, 7 missed at 1.2
-- approval_minutes = 30   # so long before a call an approval may stand; level from 30 to 60, 8 false at 22.5
-- calls_min = 3           # fewer keep a finding open; with write tools one is enough; level from 0 to 6
-- ---
-- Calibrated on the companies of seeds 41 and 42, 7 incidents; queries/README.md says how to read the numbers above.
--
-- Tool scope and exceptions are those of event time; a pilot that declared no tool scope is not judged. An approval
-- covers the calls of its tool, or of any tool where it names none, up to `approval_minutes` later; within one minute the
-- order is not told apart. As in scopes, `:`, `/`, `.` and `__` in a tool's name are the same.
--
-- Where no approval of any pilot arrived in the window, the log of approvals may be missing: that is NOT OBSERVABLE. Such
-- a row holds with a coverage of 0, opens nothing, and is counted (shadowprod_detect_not_observable_subjects). Where
-- only other pilots' arrive, coverage is 0.5 and the severity one step less.
WITH calls AS (
    SELECT *
    FROM unscoped_tool_minute
    WHERE minute >= as_of() - INTERVAL '7 days'
      AND confidence >= $confidence_min
),
heard AS (
    SELECT count(*) AS approvals
    FROM approval_minute
    WHERE minute >= as_of() - INTERVAL '7 days'
),
own AS (
    SELECT pilot, sum(approvals) AS approvals
    FROM approval_minute
    WHERE minute >= as_of() - INTERVAL '7 days'
    GROUP BY pilot
),
approved AS (
    SELECT c.pilot, c.tool, c.minute
    FROM calls c
    JOIN approval_minute a
        ON a.pilot = c.pilot
       AND a.first_seen <= c.last_seen
       AND date_part('epoch', c.first_seen) - date_part('epoch', a.last_seen) <= $approval_minutes * 60
    WHERE a.tool IS NULL
       OR replace(replace(replace(replace(a.tool, '___', '.'), '__', '.'), ':', '.'), '/', '.')
        = replace(replace(replace(replace(c.tool, '___', '.'), '__', '.'), ':', '.'), '/', '.')
    GROUP BY c.pilot, c.tool, c.minute
),
unattended AS (
    SELECT c.*
    FROM calls c
    LEFT JOIN approved a
        ON a.pilot = c.pilot
       AND a.tool = c.tool
       AND a.minute = c.minute
    WHERE a.pilot IS NULL
),
by_tool AS (
    SELECT
        pilot, tool, sum(calls) AS calls,
        row_number() OVER (PARTITION BY pilot ORDER BY sum(calls) DESC, tool) AS place_in_list
    FROM unattended
    GROUP BY pilot, tool
),
tools AS (
    SELECT
        pilot,
        count(*) AS tools,
        string_agg(tool, ', ' ORDER BY place_in_list) FILTER (WHERE place_in_list <= 3) AS names
    FROM by_tool
    GROUP BY pilot
),
totals AS (
    SELECT
        pilot,
        sum(calls) AS calls,
        max(confidence) AS confidence,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM unattended
    GROUP BY pilot
),
judged AS (
    SELECT
        t.*, s.tools, s.names, p.name, p.team, p.write_tools,
        p.write_tools OR p.external_users AS grave,
        coalesce(o.approvals, 0) AS approvals,
        CASE WHEN o.approvals > 0 THEN 1.0 WHEN h.approvals > 0 THEN 0.5 ELSE 0.0 END AS coverage
    FROM totals t
    JOIN tools s ON s.pilot = t.pilot
    JOIN pilots p ON p.pilot = t.pilot
    CROSS JOIN heard h
    LEFT JOIN own o ON o.pilot = t.pilot
)
SELECT
    pilot AS subject,
    CASE WHEN coverage > 0.0 AND (calls >= $calls_min OR write_tools) THEN 'fire' ELSE 'hold' END AS level,
    round(confidence * (1.0 - power(0.5, CAST(calls AS DOUBLE))), 4) AS score,
    coverage,
    CASE
        WHEN grave AND coverage = 1.0 THEN 'high'
        WHEN grave OR coverage = 1.0 THEN 'medium'
        ELSE 'low'
    END AS severity,
    first_seen,
    last_seen,
    concat('Pilot ', name, ' acts without a person') AS title,
    concat(
        'In the last 7 days "', name, '" called ', tools, CASE WHEN tools = 1 THEN ' tool' ELSE ' tools' END,
        ' outside its tool scope (', names, CASE WHEN tools > 3 THEN ' and others' ELSE '' END, ') ', calls,
        CASE WHEN calls = 1 THEN ' time' ELSE ' times' END, ' without an approval in the ',
        CAST($approval_minutes AS BIGINT), ' minutes before.',
        CASE WHEN coverage = 1.0 THEN concat(' Of its actions ', approvals, ' were approved in that time.')
            ELSE ' No approval of its actions arrives; those of other pilots do.' END,
        CASE WHEN write_tools THEN ' It can change things by itself.' ELSE '' END,
        ' Put a person before these tools, have the scope approved, or grant an exception.'
    ) AS explanation,
    sample_first,
    sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    CAST(calls AS DOUBLE) AS term_calls,
    CAST(tools AS DOUBLE) AS term_tools,
    CAST(approvals AS DOUBLE) AS term_approvals,
    confidence AS term_attribution,
    names AS fact_tools
FROM judged
