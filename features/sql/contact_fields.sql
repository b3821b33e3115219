-- The values of a contact's custom fields as they were known.
WITH spine AS ({spine})
SELECT s.pair, c.custom
FROM spine s
JOIN known.contacts c ON c.id = s.entity_id AND c.from_at <= s.known_at AND s.known_at < c.to_at
WHERE NOT c.is_deleted
