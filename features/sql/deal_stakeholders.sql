-- Every version of a deal's stakeholders that one could know at the latest instant asked for.
WITH spine AS ({spine}),
asked AS (SELECT entity_id, max(known_at) AS known_at FROM spine GROUP BY entity_id)
SELECT p.opportunity_id AS entity_id, p.from_at, p.to_at, p.role, p.influence, p.sentiment
FROM asked e
JOIN known.stakeholders p ON p.opportunity_id = e.entity_id AND p.from_at <= e.known_at
WHERE p.from_at < p.to_at AND NOT p.is_deleted
ORDER BY p.opportunity_id, p.from_at, p.id, p.version
