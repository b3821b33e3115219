-- What was done with an account in the last 90 days, as it was known.
WITH spine AS ({spine})
SELECT s.pair,
       sum(CASE WHEN a.occurred_at <= s.as_of THEN 1 ELSE 0 END) AS activities_90d,
       sum(CASE WHEN a.occurred_at <= s.as_of AND a.occurred_at > s.as_of - INTERVAL '672 hours'
                THEN 1 ELSE 0 END) AS activities_28d,
       max(CASE WHEN a.occurred_at <= s.as_of THEN a.occurred_at END) AS last_activity_at,
       min(CASE WHEN a.occurred_at > s.as_of THEN a.occurred_at
                WHEN a.occurred_at > s.as_of - INTERVAL '672 hours' THEN a.occurred_at + INTERVAL '672 hours'
                ELSE a.occurred_at + INTERVAL '2160 hours' END) AS until
FROM spine s
JOIN known.activities a
    ON a.account_id = s.entity_id AND a.occurred_at > s.as_of - INTERVAL '2160 hours'
    AND a.from_at <= s.known_at AND s.known_at < a.to_at
WHERE a.status = 'completed' AND NOT a.is_deleted
GROUP BY s.pair
