-- Every version of a deal's notes that one could know at the latest instant asked for; Python counts them.
WITH spine AS ({spine}),
asked AS (SELECT entity_id, max(known_at) AS known_at FROM spine GROUP BY entity_id)
SELECT n.opportunity_id AS entity_id, n.from_at, n.to_at, n.occurred_at, n.length
FROM asked e
JOIN known.notes n ON n.opportunity_id = e.entity_id AND n.from_at <= e.known_at
WHERE n.from_at < n.to_at AND NOT n.is_deleted
ORDER BY n.opportunity_id, n.from_at, n.id, n.version
