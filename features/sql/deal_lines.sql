-- Every version of a deal's lines that one could know at the latest instant asked for, with the product's names.
WITH spine AS ({spine}),
asked AS (SELECT entity_id, max(known_at) AS known_at FROM spine GROUP BY entity_id)
SELECT l.opportunity_id AS entity_id, l.from_at, l.to_at, l.quantity, l.unit_price, l.discount_percent,
       coalesce(p.code, '') AS product, coalesce(p.family, '') AS family
FROM asked e
JOIN known.lines l ON l.opportunity_id = e.entity_id AND l.from_at <= e.known_at
LEFT JOIN known.products p ON p.id = l.product_id AND p.from_at <= l.from_at AND l.from_at < p.to_at
WHERE l.from_at < l.to_at AND NOT l.is_deleted
ORDER BY l.opportunity_id, l.from_at, l.id, l.version
