"""Validation rules name their entity as fields do: `account`, no longer `accounts`. A change like any other, with its events."""

from alembic import op

revision = "0009"
down_revision = "0008"

_SINGULAR = """
DO $body$
DECLARE
    rule record;
    event uuid;
    change uuid := gen_random_uuid();
BEGIN
    FOR rule IN SELECT id, version FROM validation_rules WHERE entity LIKE '%s' FOR UPDATE LOOP
        event := gen_random_uuid();
        INSERT INTO ledger.events (id, kind, entity_type, entity_id, entity_version, door, change_id, data, occurred_at)
        VALUES (event, 'validation_rule.updated', 'validation_rule', rule.id, rule.version + 1, 'cli', change, '{}',
                clock_timestamp());
        PERFORM set_config('sales.event', event::text, TRUE), set_config('sales.change', change::text, TRUE);
        UPDATE validation_rules
        SET entity = regexp_replace(regexp_replace(entity, 'ies$', 'y'), 's$', ''),
            version = version + 1, updated_at = clock_timestamp(), updated_by_id = NULL
        WHERE id = rule.id;
    END LOOP;
END $body$"""


def upgrade() -> None:
    op.execute(_SINGULAR)


def downgrade() -> None:
    raise RuntimeError("There is no way back: restore a dump instead.")
