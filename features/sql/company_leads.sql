-- All leads as they were known, counted.
WITH spine AS ({spine})
SELECT s.pair,
       sum(CASE WHEN l.status = 'converted' THEN 1 ELSE 0 END) AS converted,
       sum(CASE WHEN l.status = 'unqualified' THEN 1 ELSE 0 END) AS unqualified
FROM spine s
JOIN known.leads l ON l.from_at <= s.known_at AND s.known_at < l.to_at
WHERE NOT l.is_deleted
GROUP BY s.pair
