-- ---
-- id = "llmjacking"
-- version = 2
-- title = "A credential is used by somebody else for its AI access"
-- subject_kind = "credential"
-- window_days = 1
-- revisit_days = [11]
-- background = ["credential-first-seen", "credential-network-day"]
-- candidates = ["suspects"]
-- grid_seconds = 900
-- close_after_hours = 72
-- reopen_within_hours = 336
-- owner_role = "credential_owner"
-- mode = "active"
-- frameworks = [
--     "ATT&CK T1496.004", "ATT&CK T1078.004", "ATT&CK T1552", "ATT&CK T1526",
--     "ATLAS AML.T0034", "ATLAS AML.T0040", "ATLAS AML.T0055",
--     "CSF PR.AA-01", "CSF DE.CM-09", "CSF DE.AE-07",
--     "AI RMF MEASURE 2.7", "AI RMF MANAGE 2.3",
--     "OWASP ASI03", "OWASP NHI2", "OWASP NHI7",
-- ]
--
-- [parameters]
-- families_min = 2             # one sign alone is somebody's new job; level from 1.5 to 2, 218 false at 1, 4 missed at 2.5
-- critical_families_min = 3    # level from 0 to 6
-- roaming_networks_min = 5     # who is everywhere is new nowhere; level from 2.5 to 10, 4 missed at 0
-- habit_days_min = 3           # a program that lists models whenever it starts; level from 1.5 to 6, 2 missed at 0
-- actions_known = 14           # public: actions in the list of the rule below; level from 7 to 28, 214 false at 0
-- actions_share_above = 0.4    # public: threat_detection_llm_jacking_threshold; level from 0.2 to 0.8, 214 false at 0
-- probes_min = 3               # refused invocations in a quarter of an hour; level from 0 to 6
-- probe_share_min = 0.5        # of all invocations from that network in that quarter; level from 0 to 1
-- console_only_min = 1         # public; level from 0.5 to 2, 32 false at 0
-- elsewhere_min = 1            # public; level from 0.5 to 2, 32 false at 0
-- logging_off_min = 1          # level from 0.5 to 1, 210 false at 0, 1 missed at 1.25
-- weight_new_network = 0.5     # level from 0.25 to 1, 4 missed at 0
-- weight_list_then_invoke = 0.6    # level from 0.3 to 0.9, 2 missed at 0, 4 missed at 1.2
-- weight_actions = 0.6         # level from 0 to 1.2
-- weight_probes = 0.5          # level from 0.25 to 1, 1 missed at 0
-- weight_console_only = 0.6    # level from 0 to 0.9, 2 missed at 1.2
-- weight_elsewhere = 0.7       # level from 0 to 1.4
-- weight_logging_off = 0.6     # level from 0.3 to 0.9, 1 missed at 0, 3 missed at 1.2
-- ---
-- Calibrated on the companies of seeds 41 and 42, 6 incidents; queries/README.md says how to read the numbers above.
--
-- Seven families of signs, looked for in the last 24 hours. Two of them open a finding; one holds an open one, as
-- does a model invoked from a network that the credential did not use ten days ago. How much was used is no sign:
-- thieves stay below limits, and customers do not.
-- An early look sees what the grid will see, the newest events included, seconds after they arrive: exposed keys are
-- tried within 9 to 17 minutes. The grid confirms. Only calls to AI services make either look; what the credential
-- did before is background.
--
-- new_network: models invoked from a network where the credential was for the first time in ten days (public;
--   Elastic's new-terms rules look back as far) that day or the day before, which a thief may spend on looking around,
--   if it was in use elsewhere before: the first network of a new key is no news.
-- list_then_invoke: models listed and one answering within 15 minutes, by a long-lived key (public: Elastic, "AWS
--   Bedrock Foundation Model Enumeration Followed by Invocation via Long-Term Key").
-- actions: more than .4 of 14 actions in 24 hours (public: Prowler, cloudtrail_threat_detection_llm_jacking, its
--   threat_detection_llm_jacking_actions; AWS only).
-- probes: invocations refused for want of permission or as invalid, by a long-lived key: Sysdig saw thieves ask for
--   -1 tokens, which costs nothing and tells by the kind of error whether the model may be used.
-- console_only: calls that the console makes and programs have no use for, by a long-lived key (public: Datadog,
--   "Amazon Bedrock console activity"; the list is AlphaSOC's, aws_bedrock_suspicious_api; AWS only).
-- elsewhere: the user that AWS makes for a Bedrock API key, BedrockAPIKey-..., outside Bedrock (public: BeyondTrust,
--   "The AWS Bedrock API Keys Security Guide"; AWS only).
-- logging_off: the log of invocations deleted (AWS only). A configuration put in its place that logs nothing is not
--   visible in an event.
WITH slices AS (
    SELECT
        *, credential_kind IN ('static_key', 'api_token', 'service_account_key', 'gateway_key') AS long_lived
    FROM credential_ai_slice
    WHERE slice >= as_of() - INTERVAL '1 day'
),
quarters AS (
    SELECT
        credential, slice,
        min(first_list) AS first_list, max(last_list) AS last_list,
        min(first_answer) AS first_answer, max(last_answer) AS last_answer
    FROM slices
    GROUP BY credential, slice
),
followed AS (
    SELECT
        credential,
        first_list <= last_answer
            OR lead(first_answer) OVER (PARTITION BY credential ORDER BY slice) <= last_list + INTERVAL '15 minutes'
            AS listed_then_invoked
    FROM quarters
),
hasty AS (
    SELECT credential, count(*) AS list_then_invoke
    FROM followed
    WHERE listed_then_invoked
    GROUP BY credential
),
probed AS (
    SELECT credential, sum(refused) AS probes
    FROM slices
    WHERE refused >= $probes_min AND refused >= $probe_share_min * invokes
    GROUP BY credential
),
habits AS (
    SELECT credential, count(*) AS days
    FROM credential_ai_day
    WHERE day >= as_of() - INTERVAL '11 days' AND day < as_of() - INTERVAL '1 day' AND listed AND answered
    GROUP BY credential
),
known AS (
    SELECT credential, min(first_slice) AS first_slice
    FROM credential_first_seen
    GROUP BY credential
),
entries AS (
    SELECT credential, network, min(first_invoke) AS first_invoke, date_bin(INTERVAL '1 day', min(slice)) AS day
    FROM credential_ai_slice
    WHERE slice >= as_of() - INTERVAL '1 day' AND invokes > 0 AND network <> 'unknown'
    GROUP BY credential, network
),
uses AS (
    SELECT credential, network, day, first_seen
    FROM credential_network_day
    WHERE network <> 'unknown'
),
arrivals AS (
    SELECT e.credential, e.network, e.day, least(e.first_invoke, min(u.first_seen)) AS arrived
    FROM entries e
    LEFT JOIN uses u
        ON u.credential = e.credential AND u.network = e.network AND u.day >= e.day - INTERVAL '1 day'
    GROUP BY e.credential, e.network, e.day, e.first_invoke
),
pasts AS (
    SELECT
        a.credential, a.network, a.arrived,
        coalesce(min(u.first_seen) FILTER (WHERE u.network = a.network), a.arrived) AS came,
        coalesce(bool_or(
            u.network = a.network AND u.day < a.day - INTERVAL '1 day' AND u.day >= a.day - INTERVAL '10 days'
        ), false) AS used_lately,
        coalesce(bool_or(u.network = a.network AND u.day < a.day - INTERVAL '10 days'), false) AS used_long_ago,
        coalesce(bool_or(
            u.network <> a.network -- no case: an earlier day in the same network is known, this one is the arrival
            AND u.first_seen < a.arrived
        ), false) AS used_elsewhere,
        count(DISTINCT CASE
            WHEN u.network <> a.network -- no case: where the arrival is new, its network has no earlier use in ten days
                AND u.first_seen < a.arrived
                AND u.day >= a.day - INTERVAL '10 days'
            THEN u.network END) AS other_networks
    FROM arrivals a
    LEFT JOIN uses u ON u.credential = a.credential
    GROUP BY a.credential, a.network, a.day, a.arrived
),
judged AS (
    SELECT
        p.credential, p.network,
        NOT p.used_long_ago AND k.first_slice < date_bin(INTERVAL '30 minutes', p.came) AS young,
        NOT p.used_lately
            AND (p.used_elsewhere OR k.first_slice < date_bin(INTERVAL '30 minutes', p.arrived))
            AND p.other_networks < $roaming_networks_min AS is_new
    FROM pasts p
    LEFT JOIN known k ON k.credential = p.credential
),
-- The candidates: the daemon asks for them first and works out all else for them only. Few columns are read for it.
suspects AS (
    SELECT credential
    FROM credential_ai_slice
    WHERE slice >= as_of() - INTERVAL '1 day' -- no case: spares work; slices leaves older ones out
    GROUP BY credential
    HAVING count(first_list) > 0 OR sum(refused) >= $probes_min -- no case: spares work, and two signs have to be seen
        OR max(console_only) > 0 OR max(elsewhere) > 0 OR max(logging_off) > 0 -- no case: two signs have to be seen
        OR popcount(bit_or(actions)) > $actions_share_above * $actions_known -- no case: two signs have to be seen
    UNION ALL
    SELECT credential
    FROM judged
    WHERE is_new OR young -- no case: spares work, and two signs have to be seen
),
networks AS (
    SELECT
        credential,
        count(*) FILTER (WHERE is_new) AS new_networks,
        min(network) FILTER (WHERE is_new) AS new_network,
        bool_or(young) AS young
    FROM judged
    GROUP BY credential
),
totals AS (
    SELECT
        credential,
        bool_or(long_lived) AS long_lived,
        coalesce(bool_or(is_aws), false) AS is_aws,
        sum(invokes) AS invokes,
        popcount(bit_or(actions)) AS actions,
        sum(console_only) AS console_only,
        sum(elsewhere) AS elsewhere,
        sum(logging_off) AS logging_off,
        max(ai_provider) AS ai_provider,
        max(credential_kind) AS credential_kind,
        max(label) AS label,
        max(pilot) AS pilot,
        max(team) AS team,
        min(first_seen) AS first_seen,
        max(last_seen) AS last_seen,
        min(sample_first) AS sample_first,
        max(sample_last) AS sample_last
    FROM slices
    GROUP BY credential
),
signs AS (
    SELECT
        t.*, n.new_network, n.new_networks, coalesce(n.young, false) AS young, o.probes,
        CASE WHEN n.credential IS NULL THEN NULL
             WHEN n.new_networks > 0 THEN $weight_new_network ELSE 0.0 END AS sign_new_network,
        CASE WHEN NOT t.long_lived THEN NULL
             WHEN h.list_then_invoke > 0 AND coalesce(b.days, 0) < $habit_days_min THEN $weight_list_then_invoke
             ELSE 0.0 END AS sign_list_then_invoke,
        CASE WHEN NOT t.is_aws THEN NULL
             WHEN t.actions > $actions_share_above * $actions_known THEN $weight_actions ELSE 0.0 END AS sign_actions,
        CASE WHEN NOT t.long_lived THEN NULL
             WHEN o.probes > 0 THEN $weight_probes ELSE 0.0 END AS sign_probes,
        CASE WHEN NOT (t.is_aws AND t.long_lived) THEN NULL
             WHEN t.console_only >= $console_only_min THEN $weight_console_only ELSE 0.0 END AS sign_console_only,
        CASE WHEN NOT (t.is_aws AND t.long_lived) THEN NULL
             WHEN t.elsewhere >= $elsewhere_min THEN $weight_elsewhere ELSE 0.0 END AS sign_elsewhere,
        CASE WHEN NOT t.is_aws THEN NULL
             WHEN t.logging_off >= $logging_off_min THEN $weight_logging_off ELSE 0.0 END AS sign_logging_off
    FROM totals t
    LEFT JOIN networks n ON n.credential = t.credential
    LEFT JOIN hasty h ON h.credential = t.credential
    LEFT JOIN probed o ON o.credential = t.credential
    LEFT JOIN habits b ON b.credential = t.credential
),
scored AS (
    SELECT
        *,
        CASE WHEN sign_new_network > 0 THEN 1 ELSE 0 END + CASE WHEN sign_list_then_invoke > 0 THEN 1 ELSE 0 END
            + CASE WHEN sign_actions > 0 THEN 1 ELSE 0 END + CASE WHEN sign_probes > 0 THEN 1 ELSE 0 END
            + CASE WHEN sign_console_only > 0 THEN 1 ELSE 0 END + CASE WHEN sign_elsewhere > 0 THEN 1 ELSE 0 END
            + CASE WHEN sign_logging_off > 0 THEN 1 ELSE 0 END AS families,
        7.0 - CASE WHEN sign_new_network IS NULL THEN 1 ELSE 0 END
            - CASE WHEN sign_list_then_invoke IS NULL THEN 1 ELSE 0 END
            - CASE WHEN sign_actions IS NULL THEN 1 ELSE 0 END - CASE WHEN sign_probes IS NULL THEN 1 ELSE 0 END
            - CASE WHEN sign_console_only IS NULL THEN 1 ELSE 0 END
            - CASE WHEN sign_elsewhere IS NULL THEN 1 ELSE 0 END
            - CASE WHEN sign_logging_off IS NULL THEN 1 ELSE 0 END AS observable,
        round(1.0 - (1.0 - coalesce(sign_new_network, 0.0)) * (1.0 - coalesce(sign_list_then_invoke, 0.0))
            * (1.0 - coalesce(sign_actions, 0.0)) * (1.0 - coalesce(sign_probes, 0.0))
            * (1.0 - coalesce(sign_console_only, 0.0)) * (1.0 - coalesce(sign_elsewhere, 0.0))
            * (1.0 - coalesce(sign_logging_off, 0.0)), 4) AS stolen
    FROM signs
)
SELECT
    credential AS subject,
    CASE WHEN families >= $families_min THEN 'fire' ELSE 'hold' END AS level,
    stolen AS score,
    round(observable / 7.0, 4) AS coverage,
    CASE WHEN families >= $critical_families_min THEN 'critical'
         WHEN families >= $families_min THEN 'high' ELSE 'medium' END AS severity,
    first_seen,
    last_seen,
    concat('Somebody else may use ', coalesce(label, credential), ' for its AI access') AS title,
    concat(
        'Of seven signs that ', coalesce(label, credential), ' was stolen for its AI access, ', families,
        CASE WHEN families = 1 THEN ' was' ELSE ' were' END, ' seen within 24 hours',
        CASE WHEN families = 0 THEN '' ELSE ': ' END,
        concat_ws('; ',
            CASE WHEN sign_new_network > 0
                THEN concat('models were invoked from ', new_network,
                    CASE WHEN new_networks > 1 THEN concat(' and ', new_networks - 1, ' more') ELSE '' END,
                    ', where it had not been in ten days') END,
            CASE WHEN sign_list_then_invoke > 0
                THEN 'models were listed and one was invoked within 15 minutes' END,
            CASE WHEN sign_actions > 0
                THEN concat(actions, ' of ', CAST($actions_known AS BIGINT), ' actions of a break-in were called') END,
            CASE WHEN sign_probes > 0
                THEN concat(probes, ' invocations in a row of few were refused, as when somebody tries what works') END,
            CASE WHEN sign_console_only > 0
                THEN concat(console_only, ' calls that only the console makes came from a program') END,
            CASE WHEN sign_elsewhere > 0
                THEN concat('a user made for a Bedrock API key called other services ', elsewhere, ' times') END,
            CASE WHEN sign_logging_off > 0 THEN 'the log of invocations was deleted' END
        ),
        '. It invoked models ', invokes, ' times.',
        CASE WHEN young AND families < $families_min
            THEN ' Models are still invoked from a network that it used for less than ten days.' ELSE '' END,
        ' Ask its owner; if it was not them, disable the credential, look for what it created, and replace it.'
    ) AS explanation,
    sample_first,
    sample_last,
    pilot AS owner_pilot,
    team AS owner_team,
    CAST(families AS DOUBLE) AS term_families,
    sign_new_network AS term_new_network,
    sign_list_then_invoke AS term_list_then_invoke,
    sign_actions AS term_actions,
    sign_probes AS term_probes,
    sign_console_only AS term_console_only,
    sign_elsewhere AS term_elsewhere,
    sign_logging_off AS term_logging_off,
    CAST(invokes AS DOUBLE) AS term_invocations,
    ai_provider AS fact_ai_provider,
    credential_kind AS fact_credential_kind,
    label AS fact_label,
    new_network AS fact_new_network
FROM scored
WHERE families >= 1 OR young
