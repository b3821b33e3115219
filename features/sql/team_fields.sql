-- The values of a team's custom fields as they were known.
WITH spine AS ({spine})
SELECT s.pair, t.custom
FROM spine s
JOIN known.teams t ON t.id = s.entity_id AND t.from_at <= s.known_at AND s.known_at < t.to_at
WHERE NOT t.is_deleted
