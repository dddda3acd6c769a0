-- ---
-- id = "shared-credential"
-- version = 4
-- title = "One credential is used by people and by workloads"
-- subject_kind = "credential"
-- window_days = 14
-- candidates = ["person_like", "suspects"]
-- grid_seconds = 1800
-- close_after_hours = 24
-- reopen_within_hours = 336
-- owner_role = "credential_owner"
-- mode = "active"
-- frameworks = [
--     "ATT&CK T1078.004", "ATT&CK T1550.001", "ATLAS AML.T0012",
--     "CSF PR.AA-01", "CSF PR.AA-02", "CSF PR.AA-05", "CSF DE.CM-03", "CSF DE.CM-09",
--     "AI RMF GOVERN 3.2", "AI RMF MEASURE 2.8",
--     "OWASP ASI03", "OWASP NHI10", "OWASP NHI9",
-- ]
--
-- [parameters]
-- client_cap = 4.0             # signals of one family say much the same; level from 2 to 8, 6 missed at 0
-- network_cap = 4.0            # level from 0 to 8
-- flow_cap = 4.0               # level from 0 to 8
-- cadence_cap = 4.0            # level from 3 to 8, 3 missed at 2
-- human_at = 3.0               # level from 1.5 to 3.75, 823 false at 0, 6 missed at 4.5
-- workload_at = 3.0            # level from 1.5 to 3, 991 false at 0, 3 missed at 3.75
-- cadence_cv_max = 0.1         # start value, not yet calibrated
-- cadence_minutes_min = 11     # ten intervals or more in a half hour
-- cadence_minutes_max = 15     # start value, not yet calibrated: fuller half hours have no rhythm to see
-- cadence_weight = 2.0         # level from 0 to 4
-- sleep_hours_min = 6          # start value, not yet calibrated
-- sleepless_weight = 4.0       # level from 3 to 6, 3 missed at 2.25: set from 3 to within
-- sessions_scale = 3.0         # level from 0 to 6
-- days_full = 3                # on one day it is break-glass or a rotation; level from 1.5 to 6, 3 false at 0
-- shared_factor = 0.2          # the registry says that people share it; level from 0 to 0.4
-- delegated_factor = 0.3       # an application acts for a user who signed in to it; level from 0 to 0.45, 6 false at 0.6
-- open_at = 0.5                # level from 0 to 0.75, 10 missed at 1
-- page_at = 0.8                # start value, not yet calibrated
-- hold_at = 0.3                # start value, not yet calibrated
-- ---
-- Calibrated on the companies of seeds 41 and 42, ten incidents; queries/README.md says how to read the numbers above.
--
-- Sessions are scored, not events: a credential in one network with one client family in one half hour. Log-odds
-- of a session are the sum over families of what speaks for a person less what speaks for a workload, each
-- family capped. Sessions of the credential's first week are learning and do not count.
--
-- A workload may hold, instead of the credential, a token that it gave out: the key of an assumed role, an access
-- token. Its sessions then count for the credential at the head of the chain, at most four tokens up, if a person was
-- seen with that credential itself; from the person's own networks they do not. People who hold a workload's tokens
-- never count: brokers hand those out on purpose. Tokens that an application got with an identity of its own to act
-- for a user count little.
WITH known AS (
    SELECT credential, min(first_slice) AS first_slice
    FROM credential_first_seen
    GROUP BY credential
),
given AS (
    SELECT
        issued_token, credential AS issuer, token AS presented,
        bool_or(delegated) AS delegated, max(label) AS label
    FROM token_issued
    GROUP BY issued_token, credential, token
),
-- The candidates: the daemon asks for them first and works out all else for them only. By day rather than by session,
-- which takes too many, never too few: who shows signs of a person, and of those who may be a workload too, or whose
-- tokens one may hold.
person_like AS (
    SELECT credential
    FROM (
        SELECT
            credential,
            least(max(human_client), $client_cap) + least(max(human_network), $network_cap)
                + least(max(human_flow), $flow_cap) AS human
        FROM credential_network_day
        GROUP BY credential
    )
    WHERE human >= $human_at -- no case: spares work; judged asks for as much
),
workload_like AS (
    SELECT credential
    FROM (
        SELECT
            credential,
            least(max(workload_client), $client_cap) + least(max(workload_network), $network_cap)
                + least(max(workload_flow), $flow_cap) + $cadence_weight AS workload,
            min(mask_longest_gap(hours, CAST(24 AS BIGINT))) AS sleep_hours
        FROM credential_network_day
        GROUP BY credential
    )
    WHERE workload >= $workload_at -- no case: spares work; judged asks for as much
       OR sleep_hours < $sleep_hours_min
),
chains AS (
    SELECT
        g1.issued_token AS token,
        g1.issuer AS issuer_1, g2.issuer AS issuer_2, g3.issuer AS issuer_3, g4.issuer AS issuer_4,
        g1.delegated AS delegated_1, g2.delegated AS delegated_2,
        g3.delegated AS delegated_3, g4.delegated AS delegated_4,
        g1.label AS label_1, g2.label AS label_2, g3.label AS label_3, g4.label AS label_4
    FROM given g1
    LEFT JOIN given g2 ON g2.issued_token = g1.presented
    LEFT JOIN given g3 ON g3.issued_token = g2.presented
    LEFT JOIN given g4 ON g4.issued_token = g3.presented
),
steps AS (
    SELECT *, 1 AS place, issuer_1 AS issuer FROM chains
    UNION ALL
    SELECT *, 2 AS place, issuer_2 AS issuer FROM chains
    UNION ALL
    SELECT *, 3 AS place, issuer_3 AS issuer FROM chains
    UNION ALL
    SELECT *, 4 AS place, issuer_4 AS issuer FROM chains
),
suspects AS (
    SELECT l.credential
    FROM person_like l
    JOIN workload_like h ON h.credential = l.credential -- no case: spares work; with more suspects nothing changes
    UNION
    SELECT l.credential
    FROM person_like l
    JOIN steps s ON s.issuer = l.credential -- no case: spares work; with more suspects nothing changes
    JOIN token_session t ON t.token = s.token -- no case: spares work; with more suspects nothing changes
    JOIN workload_like h ON h.credential = t.credential -- no case: spares work; with more suspects nothing changes
),
sessions AS (
    SELECT
        credential, CAST(NULL AS VARCHAR) AS token, slice, network, client_family, minutes,
        human_client, human_network, human_flow, workload_client, workload_network, workload_flow,
        coalesce(attribution, 1.0) AS attribution, label, first_seen, last_seen, sample_first, sample_last,
        credential_kind, shared, pilot, team
    FROM credential_session
    WHERE slice >= as_of() - INTERVAL '14 days'
      AND credential IN (SELECT credential FROM suspects) -- no case: spares work; without people nothing is shared
    UNION ALL
    SELECT
        credential, token, slice, network, client_family, minutes,
        human_client, human_network, human_flow, workload_client, workload_network, workload_flow,
        coalesce(attribution, 1.0), label, first_seen, last_seen, NULL, sample_last,
        NULL, NULL, NULL, NULL
    FROM token_session
    WHERE slice >= as_of() - INTERVAL '14 days'
),
days AS (
    SELECT
        credential, token IS NULL AS own, network, client_family, date_trunc('day', slice) AS day,
        mask_longest_gap(
            coalesce(
                bit_or(CAST(1 AS BIGINT) << CAST(date_part('hour', slice) AS BIGINT))
                    FILTER (WHERE minutes IS NOT NULL),
                CAST(0 AS BIGINT)
            ),
            CAST(24 AS BIGINT)
        ) AS sleep_hours
    FROM sessions
    GROUP BY 1, 2, 3, 4, 5
),
evidence AS (
    SELECT
        s.*, d.day,
        least(s.human_client, $client_cap) + least(s.human_network, $network_cap) + least(s.human_flow, $flow_cap)
            AS human,
        least(s.workload_client, $client_cap) + least(s.workload_network, $network_cap)
            + least(s.workload_flow, $flow_cap)
            + least($cadence_cap,
                CASE WHEN popcount(s.minutes) BETWEEN $cadence_minutes_min AND $cadence_minutes_max
                          AND mask_cadence_cv(s.minutes) < $cadence_cv_max THEN $cadence_weight ELSE 0.0 END
                + CASE WHEN d.sleep_hours < $sleep_hours_min THEN $sleepless_weight ELSE 0.0 END)
            AS workload
    FROM sessions s
    JOIN days d
        ON d.credential = s.credential AND d.own = (s.token IS NULL) AND d.network = s.network
       AND d.client_family = s.client_family AND d.day = date_trunc('day', s.slice)
    WHERE s.token IS NULL OR s.token IN (SELECT issued_token FROM given) -- no case: spares work; linked takes no other
),
judged AS (
    SELECT
        *,
        CASE WHEN human - workload >= $human_at THEN 'human'
             WHEN workload - human >= $workload_at THEN 'workload'
             ELSE 'unknown' END AS who
    FROM evidence
),
own AS (
    SELECT j.*
    FROM judged j
    JOIN known k ON k.credential = j.credential
    WHERE j.token IS NULL
      AND j.slice >= k.first_slice + INTERVAL '7 days'
),
people AS (
    SELECT credential, network
    FROM own
    WHERE who = 'human'
    GROUP BY credential, network
),
persons AS (
    SELECT credential FROM people GROUP BY credential
),
reached AS (
    SELECT
        token, issuer_1, issuer_2, issuer_3, issuer_4, delegated_1, delegated_2, delegated_3, delegated_4,
        label_1, label_2, label_3, label_4,
        max(place) AS tokens
    FROM steps
    JOIN persons ON persons.credential = steps.issuer
    GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13
),
heads AS (
    SELECT
        token,
        CASE tokens WHEN 4 THEN issuer_4 WHEN 3 THEN issuer_3 WHEN 2 THEN issuer_2 ELSE issuer_1 END AS head,
        concat_ws(' → ', CASE WHEN tokens >= 4 THEN label_4 END, CASE WHEN tokens >= 3 THEN label_3 END,
            CASE WHEN tokens >= 2 THEN label_2 END, label_1) AS path,
        coalesce(delegated_1, false) OR (tokens >= 2 AND coalesce(delegated_2, false))
            OR (tokens >= 3 AND coalesce(delegated_3, false)) OR (tokens >= 4 AND coalesce(delegated_4, false))
            AS delegated
    FROM reached
),
linked AS (
    SELECT
        h.head AS credential, j.credential AS holder, j.slice, j.day, j.network, j.client_family,
        max(concat(h.path, ' → ', coalesce(j.label, j.credential))) AS path,
        max(j.attribution * CASE WHEN h.delegated THEN $delegated_factor ELSE 1.0 END) AS attribution,
        min(j.first_seen) AS first_seen, max(j.last_seen) AS last_seen, max(j.sample_last) AS sample_last
    FROM judged j
    JOIN heads h ON h.token = j.token
    JOIN known k ON k.credential = h.head
    LEFT JOIN people p ON p.credential = h.head AND p.network = j.network
    WHERE j.who = 'workload'
      AND j.credential <> h.head
      AND p.credential IS NULL
      AND j.slice >= k.first_slice + INTERVAL '7 days'
    GROUP BY 1, 2, 3, 4, 5, 6
),
counted AS (
    SELECT
        credential, who, day, network, client_family, attribution, first_seen, last_seen, sample_first, sample_last,
        label, credential_kind, shared, pilot, team, CAST(NULL AS VARCHAR) AS path
    FROM own
    UNION ALL
    SELECT
        credential, 'workload', day, network, client_family, attribution, first_seen, last_seen, NULL, sample_last,
        NULL, NULL, NULL, NULL, NULL, path
    FROM linked
),
places AS (
    SELECT
        credential, who, client_family, network,
        count(*) AS sessions,
        row_number() OVER (
            PARTITION BY credential, who ORDER BY count(*) DESC, client_family, network
        ) AS place_in_list
    FROM counted
    GROUP BY credential, who, client_family, network
),
listed AS (
    SELECT
        credential,
        string_agg(concat(client_family, ' from ', network), ', ' ORDER BY place_in_list)
            FILTER (WHERE who = 'human') AS human_places,
        string_agg(concat(client_family, ' from ', network), ', ' ORDER BY place_in_list)
            FILTER (WHERE who = 'workload') AS workload_places
    FROM places
    WHERE place_in_list <= 3
    GROUP BY credential
),
paths AS (
    SELECT
        credential, path,
        row_number() OVER (PARTITION BY credential ORDER BY count(*) DESC, path) AS place_in_list
    FROM counted
    WHERE path IS NOT NULL
    GROUP BY credential, path
),
followed AS (
    SELECT credential, string_agg(path, '; ' ORDER BY place_in_list) AS chain
    FROM paths
    WHERE place_in_list <= 3
    GROUP BY credential
),
totals AS (
    SELECT
        credential,
        count(*) AS sessions,
        count(path) AS linked_sessions,
        count(*) FILTER (WHERE who = 'human') AS human_sessions,
        count(*) FILTER (WHERE who = 'workload') AS workload_sessions,
        count(DISTINCT CASE WHEN who = 'human' THEN day END) AS human_days,
        count(DISTINCT CASE WHEN who = 'workload' THEN day END) AS workload_days,
        least(max(attribution) FILTER (WHERE who = 'human'), max(attribution) FILTER (WHERE who = 'workload'))
            AS attribution,
        coalesce(bool_or(shared), false) AS shared,
        max(label) AS label,
        max(credential_kind) AS credential_kind,
        max(pilot) AS pilot,
        max(team) AS team,
        min(first_seen) FILTER (WHERE who <> 'unknown') AS first_seen,
        max(last_seen) FILTER (WHERE who <> 'unknown') AS last_seen, -- no case: none compares when it was seen last
        min(sample_first) FILTER (WHERE who = 'human') AS sample_first, -- no case: none compares samples
        max(sample_last) FILTER (WHERE who = 'workload') AS sample_last -- no case: none compares samples
    FROM counted
    GROUP BY credential
),
terms AS (
    SELECT
        *,
        1.0 - exp(-human_sessions / $sessions_scale) AS human_share,
        1.0 - exp(-workload_sessions / $sessions_scale) AS workload_share,
        least(1.0, least(human_days, workload_days) / $days_full) AS persistence,
        CASE WHEN shared THEN $shared_factor ELSE 1.0 END AS prior
    FROM totals
),
scored AS (
    SELECT
        t.*, l.human_places, l.workload_places, f.chain,
        round(least(t.human_share, t.workload_share) * t.persistence * t.attribution * t.prior, 4) AS mixed
    FROM terms t
    JOIN listed l ON l.credential = t.credential
    LEFT JOIN followed f ON f.credential = t.credential
)
SELECT
    credential AS subject,
    CASE WHEN mixed >= $open_at THEN 'fire' ELSE 'hold' END AS level,
    mixed AS score,
    round(CAST(human_sessions + workload_sessions AS DOUBLE) / sessions, 4) AS coverage,
    CASE WHEN mixed >= $page_at THEN 'high' ELSE 'medium' END AS severity,
    first_seen,
    last_seen,
    concat('People and workloads share ', coalesce(label, credential)) AS title,
    concat(
        'Of ', sessions, ' sessions of ', coalesce(label, credential), ' in the last 14 days, ', human_sessions,
        CASE WHEN human_sessions = 1 THEN ' looks like a person (' ELSE ' look like people (' END, human_places,
        ') on ', human_days, CASE WHEN human_days = 1 THEN ' day' ELSE ' days' END, ' and ', workload_sessions,
        CASE WHEN workload_sessions = 1 THEN ' like a workload (' ELSE ' like workloads (' END, workload_places,
        ') on ', workload_days, CASE WHEN workload_days = 1 THEN ' day' ELSE ' days' END, '; ',
        sessions - human_sessions - workload_sessions, ' could not be told apart.',
        CASE WHEN chain IS NULL THEN ''
             ELSE concat(' Of the latter, ', linked_sessions, ' used what it had given out: ', chain, '.') END,
        CASE WHEN attribution < 1.0 THEN ' On one side the log names the person behind it, which lowers the score.' ELSE '' END,
        CASE WHEN shared THEN ' The registry declares it as shared, which lowers the score.' ELSE '' END,
        ' Give the people and the workload credentials of their own, then replace this one.'
    ) AS explanation,
    sample_first,
    sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    CAST(human_sessions AS DOUBLE) AS term_human_sessions,
    CAST(workload_sessions AS DOUBLE) AS term_workload_sessions,
    CAST(linked_sessions AS DOUBLE) AS term_linked_sessions,
    CAST(human_days AS DOUBLE) AS term_human_days,
    CAST(workload_days AS DOUBLE) AS term_workload_days,
    round(human_share, 4) AS term_human_share,
    round(workload_share, 4) AS term_workload_share,
    round(persistence, 4) AS term_persistence,
    attribution AS term_attribution,
    prior AS term_shared_by_registry,
    credential_kind AS fact_credential_kind,
    label AS fact_label,
    human_places AS fact_human_sessions,
    workload_places AS fact_workload_sessions,
    chain AS fact_chain
FROM scored
WHERE mixed >= $hold_at
