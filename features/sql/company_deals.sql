-- All deals as they were known, counted: the background against which one rep or account is judged.
WITH spine AS ({spine})
SELECT s.pair,
       sum(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of THEN 1 ELSE 0 END) AS won,
       sum(CASE WHEN o.status = 'lost' AND o.closed_at <= s.as_of THEN 1 ELSE 0 END) AS lost,
       sum(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of AND o.closed_at > s.as_of - INTERVAL '2160 hours'
                THEN 1 ELSE 0 END) AS won_90d,
       sum(CASE WHEN o.status = 'lost' AND o.closed_at <= s.as_of AND o.closed_at > s.as_of - INTERVAL '2160 hours'
                THEN 1 ELSE 0 END) AS lost_90d,
       sum(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of AND o.closed_at > s.as_of - INTERVAL '2160 hours'
                THEN CAST(o.closed_at AS date) - CAST(o.created_at AS date) END) AS won_days_90d,
       sum(CASE WHEN o.status = 'open' THEN 1 ELSE 0 END) AS open_deals
FROM spine s
JOIN known.opportunities o ON o.from_at <= s.known_at AND s.known_at < o.to_at
WHERE NOT o.is_deleted
GROUP BY s.pair
