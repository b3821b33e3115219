-- A deal as it was known: one row for each pair whose deal one knew of. Counts and "since" look back over its versions.
WITH spine AS ({spine}),
stages AS (
    SELECT g.pipeline_id, g.key, g.from_at, g.to_at, g.probability, g.status, count(b.key) AS stage_index
    FROM known.stages g
    LEFT JOIN known.stages b
        ON b.pipeline_id = g.pipeline_id AND b.status = 'open' AND b.position < g.position AND NOT b.is_deleted
        AND b.from_at <= g.from_at AND g.from_at < b.to_at
    WHERE NOT g.is_deleted AND g.from_at < g.to_at
    GROUP BY g.pipeline_id, g.key, g.from_at, g.to_at, g.probability, g.status
),
versions AS (
    SELECT o.*, g.stage_index, g.probability AS stage_probability,
           lag(o.stage) OVER w AS old_stage, lag(g.stage_index) OVER w AS old_index,
           lag(o.amount) OVER w AS old_amount, lag(o.close_date) OVER w AS old_close_date,
           lag(o.owner_id) OVER w AS old_owner_id,
           count(o.amount) OVER w AS amounts, count(o.close_date) OVER w AS close_dates
    FROM (SELECT DISTINCT entity_id FROM spine) e
    JOIN known.opportunities o ON o.id = e.entity_id
    LEFT JOIN stages g
        ON g.pipeline_id = o.pipeline_id AND g.key = o.stage AND g.from_at <= o.from_at AND o.from_at < g.to_at
    WINDOW w AS (PARTITION BY o.id ORDER BY o.from_at, o.version)
),
spans AS (
    SELECT v.*,
           max(CASE WHEN old_stage IS NULL OR stage <> old_stage THEN from_at END) OVER w AS stage_since,
           sum(CASE WHEN stage <> old_stage THEN 1 ELSE 0 END) OVER w AS stage_moves,
           sum(CASE WHEN stage_index < old_index THEN 1 ELSE 0 END) OVER w AS stage_regressions,
           sum(CASE WHEN close_date > old_close_date THEN 1 ELSE 0 END) OVER w AS push_count,
           max(CASE WHEN close_date > old_close_date THEN from_at END) OVER w AS pushed_at,
           max(CASE WHEN close_dates = 1 THEN close_date END) OVER w AS first_close_date,
           sum(CASE WHEN amount <> old_amount THEN 1 ELSE 0 END) OVER w AS amount_changes,
           max(CASE WHEN amounts = 1 THEN amount END) OVER w AS first_amount,
           sum(CASE WHEN owner_id <> old_owner_id THEN 1 ELSE 0 END) OVER w AS owner_changes
    FROM versions v
    WINDOW w AS (PARTITION BY id ORDER BY from_at, version)
)
SELECT s.pair, v.created_at, v.pipeline_id, v.owner_id, v.account_id, v.stage, v.status, v.stage_index,
       v.stage_probability, v.stage_since, v.stage_moves, v.stage_regressions, v.amount, v.first_amount,
       v.amount_changes, v.close_date, v.first_close_date, v.push_count, v.pushed_at, v.owner_changes, v.type,
       v.lead_source, v.forecast_category, v.has_next_step, v.competitors, v.custom
FROM spine s
JOIN spans v ON v.id = s.entity_id AND v.from_at <= s.known_at AND s.known_at < v.to_at
WHERE NOT v.is_deleted
