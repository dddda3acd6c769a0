-- ---
-- id = "duties-not-separated"
-- version = 1
-- title = "One person holds duties of a pilot that policy separates"
-- subject_kind = "pilot"
-- window_days = 1
-- grid_seconds = 60
-- all_subjects = true      # the registry and time decide, no event does
-- close_after_hours = 0
-- reopen_within_hours = 168
-- owner_role = "control_owner"
-- mode = "active"
-- frameworks = ["CSF PR.AA-05", "AI RMF GOVERN 2.1", "AI RMF GOVERN 3.2"]
-- ---
-- Groups count as the persons in them who have not left. Two roles are one person's where nobody else is left in
-- either of them; a group that shares a member with another role can still separate them. A promotion is the
-- requester's own where nobody else could have decided it at that time; only the newest decision counts. Policy says
-- whether it applies (`separate_duties`).
WITH running AS (
    SELECT s.pilot, s.stage, s.valid_from, p.name, p.team, p.profile
    FROM pilot_stages s
    JOIN pilots p ON p.pilot = s.pilot
    WHERE s.stage IN ('pilot', 'approved', 'production')
      AND s.valid_from <= as_of()
      AND (s.valid_to IS NULL OR s.valid_to > as_of())
      AND p.separate_duties
),
held AS (
    SELECT
        r.pilot,
        r.role,
        count(*) FILTER (WHERE h.disabled_at IS NULL OR h.disabled_at > as_of()) AS persons,
        max(h.person) FILTER (WHERE h.disabled_at IS NULL OR h.disabled_at > as_of()) AS person,
        max(h.name) FILTER (WHERE h.disabled_at IS NULL OR h.disabled_at > as_of()) AS name,
        max(h.disabled_at) FILTER (WHERE h.disabled_at <= as_of()) AS left_at
    FROM pilot_roles r
    JOIN holders h ON h.holder = r.holder
    WHERE r.role <> 'control_owner'
    GROUP BY r.pilot, r.role
),
decided AS (
    SELECT
        *,
        row_number() OVER (PARTITION BY pilot ORDER BY decided_at DESC, outcome) AS newest
    FROM promotions
    WHERE decided_at <= as_of()
),
reasons AS (
    SELECT
        a.pilot,
        concat(a.name, ' is both ', a.role, ' and ', b.role) AS reason,
        greatest(a.left_at, b.left_at) AS since
    FROM held a
    JOIN held b
        ON b.pilot = a.pilot
       AND b.person = a.person
       AND b.role > a.role
    WHERE a.persons = 1
      AND b.persons = 1
    UNION ALL
    SELECT
        d.pilot,
        concat(d.requested_by, ' asked for the promotion and decided it') AS reason,
        d.decided_at AS since
    FROM decided d
    JOIN holders h ON h.holder = d.decided_by
    WHERE d.newest = 1
      AND d.outcome = 'approved'
      AND (h.disabled_at IS NULL OR h.disabled_at > d.decided_at)
    GROUP BY d.pilot, d.requested_by, d.decided_at
    HAVING bool_and(h.person = d.requested_by)
),
judged AS (
    SELECT
        q.pilot, q.name, q.team, q.profile, q.stage,
        count(*) AS reasons,
        string_agg(r.reason, '; ' ORDER BY r.reason) AS names,
        greatest(q.valid_from, max(r.since)) AS since
    FROM running q
    JOIN reasons r ON r.pilot = q.pilot
    GROUP BY q.pilot, q.name, q.team, q.profile, q.stage, q.valid_from
)
SELECT
    pilot AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    CASE WHEN stage = 'production' THEN 'high' ELSE 'medium' END AS severity,
    since AS first_seen,
    since AS last_seen,
    concat('Duties of pilot ', name, ' are not separated') AS title,
    concat(
        'Policy ', profile, ' separates the duties of "', name, '" (stage ', stage, '), but ', names,
        '. Give one of them to somebody else.'
    ) AS explanation,
    CAST(NULL AS BIGINT) AS sample_first,
    CAST(NULL AS BIGINT) AS sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    CAST(reasons AS DOUBLE) AS term_reasons,
    names AS fact_reasons,
    stage AS fact_stage,
    profile AS fact_profile
FROM judged
