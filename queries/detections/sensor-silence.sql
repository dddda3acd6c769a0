-- ---
-- id = "sensor-silence"
-- version = 4
-- title = "A source has gone silent"
-- subject_kind = "source"
-- window_days = 14
-- grid_seconds = 900
-- all_subjects = true      # silence is what no event tells of
-- every_grid_point = true
-- tells_silence = true     # what rests on a silent source does not resolve
-- close_after_hours = 1
-- reopen_within_hours = 24
-- owner_role = "team_owner"
-- mode = "active"
-- frameworks = ["CSF DE.CM-09", "CSF PR.PS-04"]
--
-- [parameters]
-- intervals_min = 3            # public: three times its normal interval; level from 0 to 6
-- interval_minutes_min = 10    # less than half an hour is no silence; level from 0 to 20
-- events_min = 10              # so many events have to be missing; level from 0 to 20
-- pause_factor = 1.5           # a holiday beside a weekend is 1.4 times a weekend; level from 0 to 3
-- ---
-- Calibrated on the companies of seeds 41 and 42, 2 incidents; queries/README.md says how to read the numbers above.
--
-- What is expected of a source is what it sent in the same hours of the week before: hours without traffic then, a
-- night or a weekend, do not count, and its first week is learning. In each hour since its last event the normal
-- interval is the longest run of minutes without traffic that the hour had a week ago; the intervals missed are added
-- up. A source of few events has gaps by chance, one that only people feed pauses over night and over weekends: it is
-- silent when the events missing are many, and when it has been for `pause_factor` times its longest pause of two weeks.
-- So chance and a public holiday are none, at the price of telling late of a sensor of such a source that fails, and of
-- one that failed before, for two weeks. On the first day after a holiday it says nothing.
--
-- Silence is judged in event time, where the watermark stands: behind the other sources by the lateness, and behind
-- the clock when all are silent and the clock is `wall`. A source with unread messages holds the watermark, so a
-- backlog is never silence; nor is a broker that cannot be reached. At the end of a replayed log nothing is silent.
-- Two weeks after its last event a source is out of use. The team `platform` of the registry is told.
WITH hours AS (
    SELECT *
    FROM source_hour
    WHERE hour >= as_of() - INTERVAL '14 days'
),
latest AS (
    SELECT source, max(last_seen) AS last_seen, max(sample_last) AS sample_last
    FROM hours
    GROUP BY source
),
pauses AS (
    SELECT source, max(pause_minutes) AS pause_minutes
    FROM (
        SELECT
            source,
            greatest(
                date_part('epoch', lead(first_seen) OVER (PARTITION BY source ORDER BY hour))
                    - date_part('epoch', last_seen),
                mask_longest_gap(minutes, 60) * 60.0
            ) / 60.0 AS pause_minutes
        FROM hours
    )
    GROUP BY source
),
expected AS (
    SELECT
        l.source, l.last_seen, l.sample_last, h.events,
        greatest(CAST(mask_longest_gap(h.minutes, 60) + 1 AS DOUBLE), $interval_minutes_min) AS interval_minutes,
        (date_part('epoch', least(h.hour + INTERVAL '169 hours', as_of()))
            - date_part('epoch', greatest(h.hour + INTERVAL '168 hours', l.last_seen))) / 60.0 AS minutes
    FROM latest l
    JOIN hours h ON h.source = l.source
    WHERE h.hour + INTERVAL '168 hours' < as_of()
      AND h.hour + INTERVAL '169 hours' > l.last_seen
),
missed AS (
    SELECT
        source, last_seen, sample_last,
        round(sum(minutes / interval_minutes ORDER BY minutes, interval_minutes), 4) AS intervals,
        floor(sum(minutes / 60.0 * events ORDER BY minutes, events)) AS events,
        max(interval_minutes) AS interval_minutes
    FROM expected
    GROUP BY source, last_seen, sample_last
)
SELECT
    m.source AS subject,
    'fire' AS level,
    round(1.0 - power(0.5, intervals / $intervals_min), 4) AS score,
    1.0 AS coverage,
    'medium' AS severity,
    last_seen AS first_seen,
    last_seen,
    concat('Source ', m.source, ' has gone silent') AS title,
    concat(
        'Nothing came from "', m.source, '" since ', to_char(last_seen, '%Y-%m-%d %H:%M'),
        '. In the same hours a week ago it was never silent for more than ', CAST(interval_minutes AS BIGINT),
        ' minutes at a time. While it is silent, findings that rest on it stay open and new ones stay',
        ' unseen. Look whether the source, its delivery or its topic has stopped.'
    ) AS explanation,
    CAST(NULL AS BIGINT) AS sample_first,
    sample_last,
    CAST(NULL AS VARCHAR) AS owner_pilot,
    'platform' AS owner_team,
    intervals AS term_intervals_missed,
    events AS term_events_missed,
    interval_minutes AS term_interval_minutes
FROM missed m
LEFT JOIN pauses p ON p.source = m.source
WHERE intervals >= $intervals_min
  AND events >= $events_min
  AND (date_part('epoch', as_of()) - date_part('epoch', last_seen)) / 60.0
      >= $pause_factor * coalesce(pause_minutes, 0.0)
