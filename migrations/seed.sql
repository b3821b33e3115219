-- What every home begins with: the company's settings and a pipeline, as the ledger's first event.

SELECT set_config('sales.event', '01900000-0000-7000-8000-000000000001', TRUE),
       set_config('sales.change', '01900000-0000-7000-8000-000000000002', TRUE);

INSERT INTO ledger.events (id, kind, entity_type, door, change_id, occurred_at)
VALUES ('01900000-0000-7000-8000-000000000001', 'company.created', 'company', 'job',
        '01900000-0000-7000-8000-000000000002', now());

INSERT INTO company (id) VALUES ('01900000-0000-7000-8000-000000000003');

INSERT INTO pipelines (id, key, name, is_default)
VALUES ('01900000-0000-7000-8000-000000000010', 'sales', 'Sales', TRUE);

INSERT INTO stages (id, pipeline_id, key, name, position, status, probability, forecast_category, rotting_days)
SELECT id::uuid, '01900000-0000-7000-8000-000000000010', key, name, position, status, probability, category, days
FROM (VALUES
    ('01900000-0000-7000-8000-000000000011', 'prospecting', 'Prospecting', 1, 'open', 0.10, 'pipeline', 30),
    ('01900000-0000-7000-8000-000000000012', 'qualification', 'Qualification', 2, 'open', 0.20, 'pipeline', 30),
    ('01900000-0000-7000-8000-000000000013', 'proposal', 'Proposal', 3, 'open', 0.45, 'best_case', 21),
    ('01900000-0000-7000-8000-000000000014', 'negotiation', 'Negotiation', 4, 'open', 0.70, 'commit', 21),
    ('01900000-0000-7000-8000-000000000015', 'won', 'Won', 5, 'won', 1, 'closed', NULL),
    ('01900000-0000-7000-8000-000000000016', 'lost', 'Lost', 6, 'lost', 0, 'omitted', NULL)
) AS stage(id, key, name, position, status, probability, category, days);

SELECT set_config('sales.event', '', TRUE), set_config('sales.change', '', TRUE);
