-- The deals in which a contact stands as a stakeholder, as they were known, counted.
WITH spine AS ({spine})
SELECT s.pair, count(DISTINCT o.id) AS deals,
       count(DISTINCT CASE WHEN o.status = 'open' THEN o.id END) AS open_deals,
       count(DISTINCT CASE WHEN o.status = 'won' AND o.closed_at <= s.as_of THEN o.id END) AS won,
       count(DISTINCT CASE WHEN o.status = 'lost' AND o.closed_at <= s.as_of THEN o.id END) AS lost,
       count(DISTINCT CASE WHEN p.role = 'champion' THEN o.id END) AS as_champion,
       count(DISTINCT CASE WHEN p.role IN ('economic_buyer', 'decision_maker') THEN o.id END) AS as_buyer,
       count(DISTINCT CASE WHEN p.sentiment = 'supporter' THEN o.id END) AS as_supporter,
       count(DISTINCT CASE WHEN p.sentiment = 'opponent' THEN o.id END) AS as_opponent,
       min(p.from_at) AS first_seen_at
FROM spine s
JOIN known.stakeholders p ON p.contact_id = s.entity_id AND p.from_at <= s.known_at AND s.known_at < p.to_at
JOIN known.opportunities o ON o.id = p.opportunity_id AND o.from_at <= s.known_at AND s.known_at < o.to_at
WHERE NOT p.is_deleted AND NOT o.is_deleted
GROUP BY s.pair
