-- The deals of a team's people, as they were known, counted.
WITH spine AS ({spine})
SELECT s.pair, count(DISTINCT u.id) AS people,
       sum(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of THEN 1 ELSE 0 END) AS won,
       sum(CASE WHEN o.status = 'lost' AND o.closed_at <= s.as_of THEN 1 ELSE 0 END) AS lost,
       sum(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of AND o.closed_at > s.as_of - INTERVAL '2160 hours'
                THEN 1 ELSE 0 END) AS won_90d,
       sum(CASE WHEN o.status = 'lost' AND o.closed_at <= s.as_of AND o.closed_at > s.as_of - INTERVAL '2160 hours'
                THEN 1 ELSE 0 END) AS lost_90d,
       sum(CASE WHEN o.status = 'open' THEN 1 ELSE 0 END) AS open_deals,
       sum(CASE WHEN o.status = 'open' THEN o.amount END) AS open_amount
FROM spine s
JOIN known.users u ON u.team_id = s.entity_id AND u.from_at <= s.known_at AND s.known_at < u.to_at
LEFT JOIN known.opportunities o
    ON o.owner_id = u.id AND o.from_at <= s.known_at AND s.known_at < o.to_at AND NOT o.is_deleted
GROUP BY s.pair
