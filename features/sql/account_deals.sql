-- An account's deals as they were known, counted; `until` is the instant at which a count changes by itself.
WITH spine AS ({spine})
SELECT s.pair,
       sum(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of THEN 1 ELSE 0 END) AS won,
       sum(CASE WHEN o.status = 'lost' AND o.closed_at <= s.as_of THEN 1 ELSE 0 END) AS lost,
       sum(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of THEN o.amount END) AS won_amount,
       sum(CASE WHEN o.status <> 'open' AND o.closed_at <= s.as_of AND o.closed_at > s.as_of - INTERVAL '8760 hours'
                THEN 1 ELSE 0 END) AS closed_365d,
       max(CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of THEN o.closed_at END) AS last_won_at,
       max(CASE WHEN o.status = 'lost' AND o.closed_at <= s.as_of THEN o.closed_at END) AS last_lost_at,
       sum(CASE WHEN o.status = 'open' THEN 1 ELSE 0 END) AS open_deals,
       sum(CASE WHEN o.status = 'open' THEN o.amount END) AS open_amount,
       min(CASE WHEN o.status = 'open' THEN NULL
                WHEN o.closed_at > s.as_of THEN o.closed_at
                WHEN o.closed_at > s.as_of - INTERVAL '8760 hours' THEN o.closed_at + INTERVAL '8760 hours' END) AS until
FROM spine s
JOIN known.opportunities o ON o.account_id = s.entity_id AND o.from_at <= s.known_at AND s.known_at < o.to_at
WHERE NOT o.is_deleted
GROUP BY s.pair
