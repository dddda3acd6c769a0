-- ---
-- id = "promotion-without-control-owner"
-- version = 1
-- title = "A pilot is in production and nobody holds its production control"
-- subject_kind = "pilot"
-- window_days = 1
-- grid_seconds = 60
-- all_subjects = true      # the registry and time decide, no event does
-- close_after_hours = 0
-- reopen_within_hours = 168
-- owner_role = "control_owner"
-- mode = "active"
-- frameworks = ["CSF GV.RR-02", "AI RMF GOVERN 2.1", "AI RMF MANAGE 2.4"]
-- ---
-- Production is what a complete, approved promotion made of it. The role is open where the registry names nobody, where
-- the person named has left, or where of a group everybody has. It is evaluated when the registry changes and at each
-- instant at which one of its facts starts or ends. Whom to page falls back to the pilot's owner.
WITH promoted AS (
    SELECT pilot, valid_from
    FROM pilot_stages
    WHERE stage = 'production'
      AND valid_from <= as_of()
      AND (valid_to IS NULL OR valid_to > as_of())
),
control AS (
    SELECT
        r.pilot,
        r.holder,
        bool_or(h.person <> r.holder) AS is_group,
        bool_or(h.disabled_at IS NULL OR h.disabled_at > as_of()) AS is_held,
        max(h.disabled_at) AS left_at,
        string_agg(h.name, ', ' ORDER BY h.person) AS names
    FROM pilot_roles r
    JOIN holders h ON h.holder = r.holder
    WHERE r.role = 'control_owner'
    GROUP BY r.pilot, r.holder
),
judged AS (
    SELECT
        q.pilot, p.name, p.team, p.profile, p.regulated, p.sensitive_data, c.names,
        CASE WHEN c.holder IS NULL THEN 'missing' WHEN c.is_group THEN 'empty group' ELSE 'disabled' END AS gap,
        c.holder,
        greatest(q.valid_from, coalesce(c.left_at, q.valid_from)) AS since
    FROM promoted q
    JOIN pilots p ON p.pilot = q.pilot
    LEFT JOIN control c ON c.pilot = q.pilot
    WHERE NOT coalesce(c.is_held, false)
)
SELECT
    pilot AS subject,
    'fire' AS level,
    1.0 AS score,
    1.0 AS coverage,
    CASE WHEN regulated OR sensitive_data THEN 'high' ELSE 'medium' END AS severity,
    since AS first_seen,
    since AS last_seen,
    concat('Nobody controls pilot ', name, ' in production') AS title,
    concat(
        '"', name, '" has been in production without a production control owner since ',
        to_char(since, '%Y-%m-%d'), ': ',
        CASE gap
            WHEN 'missing' THEN 'the registry names none.'
            WHEN 'disabled' THEN concat(names, ' has left.')
            ELSE concat('everybody in group ', holder, ' has left (', names, ').') END,
        ' Name somebody who can take it back.'
    ) AS explanation,
    CAST(NULL AS BIGINT) AS sample_first,
    CAST(NULL AS BIGINT) AS sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    gap AS fact_gap,
    holder AS fact_control_owner,
    profile AS fact_profile
FROM judged
