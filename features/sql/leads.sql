-- A lead as it was known: one row for each pair whose lead one knew of, with the instant of its present status.
WITH spine AS ({spine}),
versions AS (
    SELECT l.*, lag(l.status) OVER w AS old_status, lag(l.owner_id) OVER w AS old_owner_id
    FROM (SELECT DISTINCT entity_id FROM spine) e
    JOIN known.leads l ON l.id = e.entity_id
    WINDOW w AS (PARTITION BY l.id ORDER BY l.from_at, l.version)
),
spans AS (
    SELECT v.*,
           max(CASE WHEN old_status IS NULL OR status <> old_status THEN from_at END) OVER w AS status_since,
           sum(CASE WHEN owner_id <> old_owner_id THEN 1 ELSE 0 END) OVER w AS owner_changes
    FROM versions v
    WINDOW w AS (PARTITION BY id ORDER BY from_at, version)
)
SELECT s.pair, v.created_at, v.owner_id, v.status, v.status_since, v.rating, v.lead_source, v.industry,
       v.number_of_employees, v.mql_at, v.has_phone, v.has_company, v.title, v.email_domain, v.country,
       v.owner_changes, v.custom
FROM spine s
JOIN spans v ON v.id = s.entity_id AND v.from_at <= s.known_at AND s.known_at < v.to_at
WHERE NOT v.is_deleted
