-- Every version of a lead's activities that one could know at the latest instant asked for; Python counts them.
WITH spine AS ({spine}),
asked AS (SELECT entity_id, max(known_at) AS known_at FROM spine GROUP BY entity_id)
SELECT a.lead_id AS entity_id, a.from_at, a.to_at, a.occurred_at, a.type, a.direction, a.status, a.outcome
FROM asked e
JOIN known.activities a ON a.lead_id = e.entity_id AND a.from_at <= e.known_at
WHERE a.from_at < a.to_at AND NOT a.is_deleted
ORDER BY a.lead_id, a.from_at, a.id, a.version
