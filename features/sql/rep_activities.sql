-- What a rep did in the last 28 days, as it was known.
WITH spine AS ({spine})
SELECT s.pair,
       sum(CASE WHEN a.occurred_at <= s.as_of THEN 1 ELSE 0 END) AS activities_28d,
       sum(CASE WHEN a.occurred_at <= s.as_of AND a.occurred_at > s.as_of - INTERVAL '168 hours'
                THEN 1 ELSE 0 END) AS activities_7d,
       min(CASE WHEN a.occurred_at > s.as_of THEN a.occurred_at
                WHEN a.occurred_at > s.as_of - INTERVAL '168 hours' THEN a.occurred_at + INTERVAL '168 hours'
                ELSE a.occurred_at + INTERVAL '672 hours' END) AS until
FROM spine s
JOIN known.activities a
    ON a.owner_id = s.entity_id AND a.occurred_at > s.as_of - INTERVAL '672 hours'
    AND a.from_at <= s.known_at AND s.known_at < a.to_at
WHERE a.status = 'completed' AND NOT a.is_deleted
GROUP BY s.pair
