-- An account as it was known: one row for each pair whose account one knew of.
WITH spine AS ({spine})
SELECT s.pair, a.created_at, a.industry, a.type, a.segment, a.number_of_employees, a.annual_revenue,
       a.custom
FROM spine s
JOIN known.accounts a ON a.id = s.entity_id AND a.from_at <= s.known_at AND s.known_at < a.to_at
WHERE NOT a.is_deleted
