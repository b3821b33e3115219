-- Since when one could know of a visit: not before it was written down.
ALTER TABLE room_visits ADD COLUMN recorded_at timestamptz;

UPDATE room_visits SET recorded_at = opened_at;

ALTER TABLE room_visits ALTER COLUMN recorded_at SET DEFAULT clock_timestamp(), ALTER COLUMN recorded_at SET NOT NULL;

-- A visit belongs to the deal of its link as that was known: a merge moves it, and moves it back.
CREATE VIEW known.room_visits AS
SELECT v.id, g.opportunity_id, v.opened_at AS occurred_at, g.id AS guest,
       greatest(v.recorded_at, CASE WHEN g.version = 1 THEN v.recorded_at ELSE g.known_from END) AS from_at,
       g.known_to AS to_at
FROM room_visits v JOIN history.guest_links g ON g.id = v.guest_link_id;

CREATE VIEW known.comments AS
SELECT id, version, known_from AS from_at, known_to AS to_at, opportunity_id, created_at AS occurred_at, side,
       guest_link_id AS guest, deleted_at IS NOT NULL AS is_deleted
FROM history.comments;

CREATE VIEW known.plan_items AS
SELECT id, version, known_from AS from_at, known_to AS to_at, opportunity_id, created_at AS occurred_at, status, due_date,
       CASE WHEN contact_id IS NOT NULL THEN 'theirs' WHEN user_id IS NOT NULL THEN 'ours' ELSE '' END AS side,
       deleted_at IS NOT NULL AS is_deleted
FROM history.plan_items;
