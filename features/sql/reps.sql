-- A rep as known.
WITH spine AS ({spine})
SELECT s.pair, u.start_date, u.custom
FROM spine s
JOIN known.users u ON u.id = s.entity_id AND u.from_at <= s.known_at AND s.known_at < u.to_at
