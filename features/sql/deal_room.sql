-- What happened in a deal's room that one could know at the latest instant asked for: visits of guests, every version of
-- comments and of the plan's items. Python counts them.
WITH spine AS ({spine}),
asked AS (SELECT entity_id, max(known_at) AS known_at FROM spine GROUP BY entity_id)
SELECT entity_id, from_at, to_at, occurred_at, kind, side, guest, status, due_date
FROM (
    SELECT v.opportunity_id AS entity_id, v.from_at, v.to_at, v.occurred_at, 'visit' AS kind, 'theirs' AS side,
           CAST(v.guest AS varchar) AS guest, '' AS status, CAST(NULL AS date) AS due_date, v.id
    FROM asked e JOIN known.room_visits v ON v.opportunity_id = e.entity_id AND v.from_at <= e.known_at
    WHERE v.from_at < v.to_at
    UNION ALL
    SELECT c.opportunity_id, c.from_at, c.to_at, c.occurred_at, 'comment', c.side,
           coalesce(CAST(c.guest AS varchar), ''), '', CAST(NULL AS date), c.id
    FROM asked e JOIN known.comments c ON c.opportunity_id = e.entity_id AND c.from_at <= e.known_at
    WHERE c.from_at < c.to_at AND NOT c.is_deleted
    UNION ALL
    SELECT p.opportunity_id, p.from_at, p.to_at, p.occurred_at, 'item', p.side, '', p.status, p.due_date, p.id
    FROM asked e JOIN known.plan_items p ON p.opportunity_id = e.entity_id AND p.from_at <= e.known_at
    WHERE p.from_at < p.to_at AND NOT p.is_deleted
) r
ORDER BY entity_id, from_at, id
