-- The first shape of the data: tables, typed history with its triggers, the ledger, the registry.
-- Written once from the tables of that day; later migrations change it, nothing rewrites it.

CREATE EXTENSION IF NOT EXISTS vector;

CREATE SCHEMA IF NOT EXISTS history;

CREATE SCHEMA IF NOT EXISTS ledger;

CREATE SCHEMA IF NOT EXISTS registry;

CREATE TABLE idempotency (
    actor_id UUID NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status INTEGER NOT NULL,
    headers JSONB NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_idempotency PRIMARY KEY (actor_id, key)
);

CREATE INDEX ix_idempotency_created_at ON idempotency (created_at);

CREATE TABLE jobs (
    id UUID NOT NULL,
    type TEXT NOT NULL,
    status TEXT DEFAULT 'queued' NOT NULL,
    payload JSONB DEFAULT '{}' NOT NULL,
    key TEXT,
    event_id UUID,
    actor_id UUID,
    change_id UUID,
    run_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT '0' NOT NULL,
    total BIGINT,
    processed BIGINT DEFAULT '0' NOT NULL,
    counts JSONB DEFAULT '{}' NOT NULL,
    errors JSONB DEFAULT '[]' NOT NULL,
    result JSONB,
    result_url TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_jobs PRIMARY KEY (id),
    CONSTRAINT ck_jobs_status CHECK (status IN ('queued', 'running', 'paused', 'done', 'failed', 'canceled'))
);

CREATE UNIQUE INDEX uq_jobs_key ON jobs (type, key) WHERE status = 'queued';

CREATE INDEX ix_jobs_due ON jobs (run_at, id) WHERE status IN ('queued', 'running');

CREATE INDEX ix_jobs_actor ON jobs (actor_id, id);

CREATE TABLE ledger.events (
    id UUID NOT NULL,
    position BIGINT GENERATED ALWAYS AS IDENTITY,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    kind TEXT NOT NULL,
    entity_type TEXT NOT NULL,
    entity_id UUID,
    entity_version INTEGER,
    actor_id UUID,
    door TEXT NOT NULL,
    change_id UUID NOT NULL,
    data JSONB DEFAULT '{}' NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (id)
);

CREATE INDEX ix_events_feed ON ledger.events (xid, position);

CREATE INDEX ix_events_change ON ledger.events (change_id);

CREATE INDEX ix_events_entity ON ledger.events (entity_type, entity_id, position);

CREATE TABLE schedule_slots (
    job TEXT NOT NULL,
    slot TEXT NOT NULL,
    taken_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_schedule_slots PRIMARY KEY (job, slot)
);

CREATE TABLE api_keys (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT NOT NULL,
    scopes JSONB NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    prefix TEXT NOT NULL,
    user_id UUID NOT NULL,
    CONSTRAINT pk_api_keys PRIMARY KEY (id)
);

CREATE TABLE api_key_secrets (
    api_key_id UUID NOT NULL,
    key_hash BYTEA NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_key_secrets PRIMARY KEY (api_key_id),
    CONSTRAINT uq_api_key_secrets_key_hash UNIQUE (key_hash)
);

CREATE TABLE company (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT DEFAULT 'Company' NOT NULL,
    home_currency TEXT DEFAULT 'USD' NOT NULL,
    time_zone TEXT DEFAULT 'UTC' NOT NULL,
    fiscal_year_start INTEGER DEFAULT '1' NOT NULL,
    week_start INTEGER DEFAULT '1' NOT NULL,
    holidays JSONB DEFAULT '[]' NOT NULL,
    CONSTRAINT pk_company PRIMARY KEY (id),
    CONSTRAINT ck_company_fiscal_year_start CHECK (fiscal_year_start BETWEEN 1 AND 12),
    CONSTRAINT ck_company_week_start CHECK (week_start BETWEEN 1 AND 7)
);

CREATE UNIQUE INDEX uq_company_one ON company ((TRUE));

CREATE TABLE competitors (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT NOT NULL,
    aliases TEXT[] DEFAULT '{}' NOT NULL,
    domain TEXT,
    strengths TEXT,
    weaknesses TEXT,
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    CONSTRAINT pk_competitors PRIMARY KEY (id)
);

CREATE INDEX ix_competitors_external ON competitors USING gin (external_ids jsonb_path_ops);

CREATE TABLE exchange_rates (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    currency TEXT NOT NULL CONSTRAINT ck_exchange_rates_currency CHECK (currency ~ '^[A-Z]{3}$'),
    date DATE NOT NULL,
    rate NUMERIC(20, 10) NOT NULL CONSTRAINT ck_exchange_rates_rate CHECK (rate > 0),
    CONSTRAINT pk_exchange_rates PRIMARY KEY (id)
);

CREATE INDEX ix_exchange_rates_external ON exchange_rates USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_exchange_rates_day ON exchange_rates (currency, date) WHERE deleted_at IS NULL;

CREATE TABLE forecast_runs (
    id UUID NOT NULL,
    period TEXT NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    tier TEXT NOT NULL,
    model_version INTEGER,
    arrivals_version INTEGER,
    n_origins INTEGER NOT NULL,
    n_periods INTEGER NOT NULL,
    coverage JSONB NOT NULL,
    interval_score JSONB NOT NULL,
    shocks JSONB NOT NULL,
    point_days DOUBLE PRECISION[] NOT NULL,
    fan JSONB NOT NULL,
    mean_cents BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_forecast_runs PRIMARY KEY (id)
);

CREATE INDEX ix_forecast_runs_period ON forecast_runs (period, as_of DESC, id DESC);

CREATE TABLE forecast_overrides (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    period TEXT NOT NULL,
    node_type TEXT NOT NULL,
    node_id UUID,
    category TEXT NOT NULL CONSTRAINT ck_forecast_overrides_category CHECK (category IN ('commit', 'best_case', 'pipeline', 'omitted')),
    amount NUMERIC(19, 4) NOT NULL,
    original NUMERIC(19, 4) NOT NULL,
    reason TEXT NOT NULL,
    place INTEGER NOT NULL,
    CONSTRAINT pk_forecast_overrides PRIMARY KEY (id)
);

CREATE UNIQUE INDEX uq_forecast_overrides_place ON forecast_overrides (period, node_type, coalesce(node_id, '00000000-0000-0000-0000-000000000000'::uuid), place);

CREATE TABLE league_rows (
    id UUID NOT NULL,
    period TEXT NOT NULL,
    node_type TEXT NOT NULL CONSTRAINT ck_league_rows_node_type CHECK (node_type IN ('user', 'team', 'territory', 'company')),
    node_id UUID,
    method TEXT NOT NULL,
    days_before INTEGER NOT NULL,
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    forecast NUMERIC(19, 4) NOT NULL,
    low NUMERIC(19, 4),
    high NUMERIC(19, 4),
    actual NUMERIC(19, 4) NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_league_rows PRIMARY KEY (id)
);

CREATE INDEX ix_league_rows_period ON league_rows (period, node_type, days_before);

CREATE TABLE pipelines (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    is_default BOOLEAN DEFAULT FALSE NOT NULL,
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    CONSTRAINT pk_pipelines PRIMARY KEY (id)
);

CREATE INDEX ix_pipelines_external ON pipelines USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_pipelines_default ON pipelines (is_default) WHERE deleted_at IS NULL AND is_default;

CREATE UNIQUE INDEX uq_pipelines_key ON pipelines (key) WHERE deleted_at IS NULL;

CREATE TABLE periods (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    key TEXT NOT NULL,
    name TEXT,
    type TEXT NOT NULL CONSTRAINT ck_periods_type CHECK (type IN ('month', 'quarter', 'year')),
    start_date DATE NOT NULL,
    end_date DATE NOT NULL,
    fiscal_year INTEGER,
    parent_id UUID,
    status TEXT DEFAULT 'open' NOT NULL CONSTRAINT ck_periods_status CHECK (status IN ('open', 'locked')),
    CONSTRAINT pk_periods PRIMARY KEY (id),
    CONSTRAINT ck_periods_dates CHECK (start_date <= end_date),
    CONSTRAINT fk_periods_parent_id FOREIGN KEY(parent_id) REFERENCES periods (id)
);

CREATE UNIQUE INDEX uq_periods_key ON periods (key) WHERE deleted_at IS NULL;

CREATE INDEX ix_periods_start_date ON periods (start_date) WHERE deleted_at IS NULL;

CREATE INDEX ix_periods_external ON periods USING gin (external_ids jsonb_path_ops);

CREATE TABLE products (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    code TEXT NOT NULL,
    name TEXT NOT NULL,
    family TEXT,
    description TEXT,
    list_price NUMERIC(19, 4),
    currency TEXT CONSTRAINT ck_products_currency CHECK (currency ~ '^[A-Z]{3}$'),
    billing_period TEXT CONSTRAINT ck_products_billing_period CHECK (billing_period IN ('one_time', 'monthly', 'annual')),
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    CONSTRAINT pk_products PRIMARY KEY (id)
);

CREATE UNIQUE INDEX uq_products_code ON products (lower(code)) WHERE deleted_at IS NULL;

CREATE INDEX ix_products_external ON products USING gin (external_ids jsonb_path_ops);

CREATE TABLE recommendations (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    opportunity_id UUID,
    lead_id UUID,
    action TEXT NOT NULL CONSTRAINT ck_recommendations_action CHECK (action IN ('call', 'email', 'meeting', 'demo', 'executive_sponsor', 'add_stakeholder', 'send_battle_card', 'send_proposal', 'mutual_action_plan', 're_engage', 'correct_close_date', 'offer', 'hand_over', 'disqualify')),
    title TEXT NOT NULL,
    reason TEXT NOT NULL,
    source TEXT NOT NULL CONSTRAINT ck_recommendations_source CHECK (source IN ('model', 'rule', 'exploration')),
    rule TEXT,
    rank INTEGER NOT NULL,
    expected_lift DOUBLE PRECISION,
    lift_low DOUBLE PRECISION,
    lift_high DOUBLE PRECISION,
    expected_value NUMERIC(19, 4),
    missing JSONB DEFAULT '{}' NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL CONSTRAINT ck_recommendations_status CHECK (status IN ('open', 'done', 'dismissed', 'snoozed', 'expired')),
    snoozed_until TIMESTAMP WITH TIME ZONE,
    feedback_reason TEXT,
    battle_card_id UUID,
    model_version INTEGER,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_recommendations PRIMARY KEY (id),
    CONSTRAINT ck_recommendations_entity CHECK (num_nonnulls(opportunity_id, lead_id) = 1)
);

CREATE INDEX ix_recommendations_opportunity_id ON recommendations (opportunity_id, status, rank);

CREATE UNIQUE INDEX uq_recommendations_open ON recommendations (opportunity_id, action) WHERE status IN ('open', 'snoozed');

CREATE TABLE action_log (
    id UUID NOT NULL,
    recommendation_id UUID NOT NULL,
    opportunity_id UUID NOT NULL,
    logged_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    policy TEXT NOT NULL,
    action TEXT NOT NULL CONSTRAINT ck_action_log_action CHECK (action IN ('call', 'email', 'meeting', 'demo', 'executive_sponsor', 'add_stakeholder', 'send_battle_card', 'send_proposal', 'mutual_action_plan', 're_engage', 'correct_close_date', 'offer', 'hand_over', 'disqualify')),
    propensity DOUBLE PRECISION NOT NULL,
    candidates JSONB NOT NULL,
    context JSONB NOT NULL,
    CONSTRAINT pk_action_log PRIMARY KEY (id),
    CONSTRAINT ck_action_log_propensity CHECK (propensity > 0 AND propensity <= 1)
);

CREATE INDEX ix_action_log_recommendation_id ON action_log (recommendation_id);

CREATE TABLE scores (
    id UUID NOT NULL,
    entity_type TEXT NOT NULL CONSTRAINT ck_scores_entity_type CHECK (entity_type IN ('opportunity', 'lead')),
    opportunity_id UUID,
    lead_id UUID,
    model TEXT NOT NULL,
    model_version INTEGER,
    feature_set TEXT NOT NULL,
    tier TEXT NOT NULL CONSTRAINT ck_scores_tier CHECK (tier IN ('baseline', 'logistic', 'gbm')),
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    known_at TIMESTAMP WITH TIME ZONE NOT NULL,
    watermark TIMESTAMP WITH TIME ZONE NOT NULL,
    scored_at TIMESTAMP WITH TIME ZONE NOT NULL,
    score INTEGER NOT NULL CONSTRAINT ck_scores_score CHECK (score BETWEEN 1 AND 99),
    grade TEXT NOT NULL CONSTRAINT ck_scores_grade CHECK (grade IN ('a', 'b', 'c', 'd')),
    win_probability DOUBLE PRECISION,
    win_in_period_probability DOUBLE PRECISION,
    slip_probability DOUBLE PRECISION,
    likely_close_week DATE,
    amount_p10 NUMERIC(19, 4),
    amount_p50 NUMERIC(19, 4),
    amount_p90 NUMERIC(19, 4),
    convert_30d_probability DOUBLE PRECISION,
    convert_60d_probability DOUBLE PRECISION,
    convert_90d_probability DOUBLE PRECISION,
    trend TEXT NOT NULL CONSTRAINT ck_scores_trend CHECK (trend IN ('improving', 'steady', 'declining', 'not_enough_information')),
    base_value DOUBLE PRECISION NOT NULL,
    reasons JSONB DEFAULT '[]' NOT NULL,
    gate JSONB DEFAULT '{}' NOT NULL,
    calibration JSONB DEFAULT '{}' NOT NULL,
    missing JSONB DEFAULT '{}' NOT NULL,
    won_by_week REAL[] DEFAULT '{}' NOT NULL,
    features JSONB NOT NULL,
    CONSTRAINT pk_scores PRIMARY KEY (id),
    CONSTRAINT ck_scores_entity CHECK (num_nonnulls(opportunity_id, lead_id) = 1)
);

CREATE INDEX ix_scores_opportunity_id ON scores (opportunity_id, as_of) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_scores_lead_id ON scores (lead_id, as_of) WHERE lead_id IS NOT NULL;

CREATE TABLE current_scores (
    entity_id UUID NOT NULL,
    score_id UUID NOT NULL,
    entity_type TEXT NOT NULL CONSTRAINT ck_current_scores_entity_type CHECK (entity_type IN ('opportunity', 'lead')),
    opportunity_id UUID,
    lead_id UUID,
    model TEXT NOT NULL,
    model_version INTEGER,
    feature_set TEXT NOT NULL,
    tier TEXT NOT NULL CONSTRAINT ck_current_scores_tier CHECK (tier IN ('baseline', 'logistic', 'gbm')),
    as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    known_at TIMESTAMP WITH TIME ZONE NOT NULL,
    watermark TIMESTAMP WITH TIME ZONE NOT NULL,
    scored_at TIMESTAMP WITH TIME ZONE NOT NULL,
    score INTEGER NOT NULL CONSTRAINT ck_current_scores_score CHECK (score BETWEEN 1 AND 99),
    grade TEXT NOT NULL CONSTRAINT ck_current_scores_grade CHECK (grade IN ('a', 'b', 'c', 'd')),
    win_probability DOUBLE PRECISION,
    win_in_period_probability DOUBLE PRECISION,
    slip_probability DOUBLE PRECISION,
    likely_close_week DATE,
    amount_p10 NUMERIC(19, 4),
    amount_p50 NUMERIC(19, 4),
    amount_p90 NUMERIC(19, 4),
    convert_30d_probability DOUBLE PRECISION,
    convert_60d_probability DOUBLE PRECISION,
    convert_90d_probability DOUBLE PRECISION,
    trend TEXT NOT NULL CONSTRAINT ck_current_scores_trend CHECK (trend IN ('improving', 'steady', 'declining', 'not_enough_information')),
    base_value DOUBLE PRECISION NOT NULL,
    reasons JSONB DEFAULT '[]' NOT NULL,
    gate JSONB DEFAULT '{}' NOT NULL,
    calibration JSONB DEFAULT '{}' NOT NULL,
    missing JSONB DEFAULT '{}' NOT NULL,
    won_by_week REAL[] DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_current_scores PRIMARY KEY (entity_id),
    CONSTRAINT ck_current_scores_entity CHECK (num_nonnulls(opportunity_id, lead_id) = 1)
);

CREATE UNIQUE INDEX ix_current_scores_opportunity_id ON current_scores (opportunity_id);

CREATE UNIQUE INDEX ix_current_scores_lead_id ON current_scores (lead_id);

CREATE TABLE chunks (
    id UUID NOT NULL,
    kind TEXT NOT NULL CONSTRAINT ck_chunks_kind CHECK (kind IN ('battle_card', 'playbook', 'note', 'win_loss', 'activity', 'document')),
    entity_id UUID,
    position INTEGER NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    opportunity_id UUID,
    competitor_ids UUID[] DEFAULT '{}' NOT NULL,
    written_at TIMESTAMP WITH TIME ZONE NOT NULL,
    fingerprint BYTEA NOT NULL,
    words TSVECTOR GENERATED ALWAYS AS (to_tsvector('english'::regconfig, title || ' ' || text)) STORED NOT NULL,
    length INTEGER NOT NULL,
    CONSTRAINT pk_chunks PRIMARY KEY (id),
    CONSTRAINT uq_chunks_entity_id_position UNIQUE (entity_id, position)
);

CREATE INDEX ix_chunks_words ON chunks USING gin (words);

CREATE INDEX ix_chunks_opportunity_id ON chunks (opportunity_id);

CREATE TABLE search_terms (
    term TEXT NOT NULL,
    documents INTEGER NOT NULL,
    CONSTRAINT pk_search_terms PRIMARY KEY (term)
);

CREATE TABLE credentials (
    user_id UUID NOT NULL,
    password_hash TEXT NOT NULL,
    changed_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_credentials PRIMARY KEY (user_id)
);

CREATE TABLE sessions (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    kind TEXT NOT NULL,
    secret_hash BYTEA,
    address TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    ended_because TEXT,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT ck_sessions_kind CHECK (kind IN ('token', 'web', 'operator')),
    CONSTRAINT uq_sessions_secret_hash UNIQUE (secret_hash)
);

CREATE INDEX ix_sessions_user_id ON sessions (user_id);

CREATE TABLE sign_in_links (
    token_hash BYTEA NOT NULL,
    user_id UUID NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_sign_in_links PRIMARY KEY (token_hash)
);

CREATE TABLE sign_in_failures (
    subject TEXT NOT NULL,
    failures INTEGER NOT NULL,
    last_at TIMESTAMP WITH TIME ZONE NOT NULL,
    blocked_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_sign_in_failures PRIMARY KEY (subject)
);

CREATE TABLE teams (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT NOT NULL,
    parent_id UUID,
    manager_id UUID,
    CONSTRAINT pk_teams PRIMARY KEY (id),
    CONSTRAINT fk_teams_parent_id FOREIGN KEY(parent_id) REFERENCES teams (id)
);

CREATE INDEX ix_teams_external ON teams USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_teams_parent_id ON teams (parent_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_teams_manager_id ON teams (manager_id) WHERE deleted_at IS NULL;

CREATE TABLE territory_models (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT NOT NULL,
    status TEXT DEFAULT 'draft' NOT NULL CONSTRAINT ck_territory_models_status CHECK (status IN ('draft', 'active', 'archived')),
    effective_from DATE,
    based_on_id UUID,
    activated_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_territory_models PRIMARY KEY (id),
    CONSTRAINT fk_territory_models_based_on_id FOREIGN KEY(based_on_id) REFERENCES territory_models (id)
);

CREATE UNIQUE INDEX uq_territory_models_active ON territory_models (status) WHERE deleted_at IS NULL AND status = 'active';

CREATE INDEX ix_territory_models_external ON territory_models USING gin (external_ids jsonb_path_ops);

CREATE TABLE webhooks (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    url TEXT NOT NULL,
    events JSONB NOT NULL,
    filter JSONB DEFAULT '[]' NOT NULL,
    description TEXT,
    is_active BOOLEAN DEFAULT true NOT NULL,
    status TEXT DEFAULT 'active' NOT NULL,
    disabled_reason TEXT,
    CONSTRAINT pk_webhooks PRIMARY KEY (id),
    CONSTRAINT ck_webhooks_status CHECK (status IN ('active', 'disabled'))
);

CREATE TABLE webhook_secrets (
    id UUID NOT NULL,
    webhook_id UUID NOT NULL,
    sealed BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_webhook_secrets PRIMARY KEY (id)
);

CREATE INDEX ix_webhook_secrets_webhook_id ON webhook_secrets (webhook_id);

CREATE TABLE deliveries (
    id UUID NOT NULL,
    sequence BIGINT GENERATED ALWAYS AS IDENTITY,
    webhook_id UUID NOT NULL,
    event_id UUID NOT NULL,
    kind TEXT NOT NULL,
    entity_id UUID,
    payload TEXT NOT NULL,
    status TEXT DEFAULT 'pending' NOT NULL,
    attempt INTEGER DEFAULT '0' NOT NULL,
    response_status INTEGER,
    duration_ms INTEGER,
    error TEXT,
    attempts JSONB DEFAULT '[]' NOT NULL,
    next_attempt_at TIMESTAMP WITH TIME ZONE DEFAULT now(),
    lease_until TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_deliveries PRIMARY KEY (id),
    CONSTRAINT ck_deliveries_status CHECK (status IN ('pending', 'delivered', 'failed', 'exhausted')),
    CONSTRAINT uq_deliveries_webhook_id_event_id UNIQUE (webhook_id, event_id)
);

CREATE INDEX ix_deliveries_due ON deliveries (webhook_id, next_attempt_at) WHERE status IN ('pending', 'failed');

CREATE INDEX ix_deliveries_order ON deliveries (webhook_id, entity_id, sequence) WHERE status IN ('pending', 'failed');

CREATE INDEX ix_deliveries_log ON deliveries (webhook_id, sequence);

CREATE TABLE forecast_draws (
    run_id UUID NOT NULL,
    owner_id UUID NOT NULL,
    territory_id UUID NOT NULL,
    closed_cents BIGINT NOT NULL,
    open_cents BIGINT NOT NULL,
    created_cents BIGINT NOT NULL,
    draws BYTEA NOT NULL,
    CONSTRAINT pk_forecast_draws PRIMARY KEY (run_id, owner_id, territory_id),
    CONSTRAINT fk_forecast_draws_run_id FOREIGN KEY(run_id) REFERENCES forecast_runs (id) ON DELETE CASCADE
);

CREATE TABLE stages (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    pipeline_id UUID NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    position INTEGER NOT NULL,
    status TEXT NOT NULL CONSTRAINT ck_stages_status CHECK (status IN ('open', 'won', 'lost')),
    probability DOUBLE PRECISION NOT NULL CONSTRAINT ck_stages_probability CHECK (probability BETWEEN 0 AND 1),
    forecast_category TEXT NOT NULL CONSTRAINT ck_stages_forecast_category CHECK (forecast_category IN ('omitted', 'pipeline', 'best_case', 'commit', 'closed')),
    exit_criteria JSONB DEFAULT '[]' NOT NULL,
    rotting_days INTEGER,
    CONSTRAINT pk_stages PRIMARY KEY (id),
    CONSTRAINT fk_stages_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipelines (id)
);

CREATE INDEX ix_stages_external ON stages USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_stages_key ON stages (pipeline_id, key) WHERE deleted_at IS NULL;

CREATE TABLE playbooks (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT NOT NULL,
    description TEXT,
    pipeline_id UUID,
    stage TEXT,
    criteria JSONB DEFAULT '[]' NOT NULL,
    steps JSONB DEFAULT '[]' NOT NULL,
    status TEXT DEFAULT 'draft' NOT NULL CONSTRAINT ck_playbooks_status CHECK (status IN ('draft', 'published', 'archived')),
    CONSTRAINT pk_playbooks PRIMARY KEY (id),
    CONSTRAINT fk_playbooks_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipelines (id)
);

CREATE INDEX ix_playbooks_stage ON playbooks (pipeline_id, stage) WHERE deleted_at IS NULL;

CREATE INDEX ix_playbooks_external ON playbooks USING gin (external_ids jsonb_path_ops);

CREATE TABLE chunk_vectors (
    chunk_id UUID NOT NULL,
    embedder TEXT NOT NULL,
    version TEXT NOT NULL,
    vector VECTOR(384) NOT NULL,
    CONSTRAINT pk_chunk_vectors PRIMARY KEY (chunk_id, embedder, version),
    CONSTRAINT fk_chunk_vectors_chunk_id FOREIGN KEY(chunk_id) REFERENCES chunks (id) ON DELETE CASCADE
);

CREATE INDEX ix_chunk_vectors_vector ON chunk_vectors USING hnsw (vector vector_cosine_ops);

CREATE TABLE refresh_tokens (
    token_hash BYTEA NOT NULL,
    session_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_refresh_tokens PRIMARY KEY (token_hash),
    CONSTRAINT fk_refresh_tokens_session_id FOREIGN KEY(session_id) REFERENCES sessions (id) ON DELETE CASCADE
);

CREATE INDEX ix_refresh_tokens_session_id ON refresh_tokens (session_id);

CREATE TABLE users (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    email TEXT NOT NULL,
    name TEXT NOT NULL,
    title TEXT,
    role TEXT NOT NULL CONSTRAINT ck_users_role CHECK (role IN ('rep', 'manager', 'ops', 'data_scientist', 'admin', 'integration')),
    is_active BOOLEAN DEFAULT TRUE NOT NULL,
    manager_id UUID,
    team_id UUID,
    time_zone TEXT,
    locale TEXT,
    start_date DATE,
    end_date DATE,
    capacity INTEGER,
    skills TEXT[] DEFAULT '{}' NOT NULL,
    working_hours JSONB,
    absences JSONB DEFAULT '[]' NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT fk_users_manager_id FOREIGN KEY(manager_id) REFERENCES users (id),
    CONSTRAINT fk_users_team_id FOREIGN KEY(team_id) REFERENCES teams (id)
);

CREATE INDEX ix_users_manager_id ON users (manager_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_users_external ON users USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_users_team_id ON users (team_id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX uq_users_email ON users (lower(email)) WHERE deleted_at IS NULL;

CREATE TABLE battle_cards (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    competitor_id UUID NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    product_ids UUID[] DEFAULT '{}' NOT NULL,
    tags TEXT[] DEFAULT '{}' NOT NULL,
    status TEXT DEFAULT 'draft' NOT NULL CONSTRAINT ck_battle_cards_status CHECK (status IN ('draft', 'published', 'archived')),
    owner_id UUID,
    reviewed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_battle_cards PRIMARY KEY (id),
    CONSTRAINT fk_battle_cards_competitor_id FOREIGN KEY(competitor_id) REFERENCES competitors (id),
    CONSTRAINT fk_battle_cards_owner_id FOREIGN KEY(owner_id) REFERENCES users (id)
);

CREATE INDEX ix_battle_cards_external ON battle_cards USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_battle_cards_competitor_id ON battle_cards (competitor_id) WHERE deleted_at IS NULL;

CREATE TABLE forecast_submissions (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    period TEXT NOT NULL,
    node_type TEXT NOT NULL,
    node_id UUID,
    commit NUMERIC(19, 4) NOT NULL,
    best_case NUMERIC(19, 4),
    note TEXT,
    submitted_by_id UUID,
    CONSTRAINT pk_forecast_submissions PRIMARY KEY (id),
    CONSTRAINT fk_forecast_submissions_submitted_by_id FOREIGN KEY(submitted_by_id) REFERENCES users (id)
);

CREATE INDEX ix_forecast_submissions_node ON forecast_submissions (period, node_type, node_id);

CREATE TABLE territories (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    model_id UUID NOT NULL,
    name TEXT NOT NULL,
    parent_id UUID,
    owner_id UUID,
    member_ids UUID[] DEFAULT '{}' NOT NULL,
    type TEXT CONSTRAINT ck_territories_type CHECK (type IN ('geographic', 'account_based', 'industry', 'mixed')),
    criteria JSONB DEFAULT '[]' NOT NULL,
    match TEXT DEFAULT 'all' NOT NULL CONSTRAINT ck_territories_match CHECK (match IN ('all', 'any')),
    account_ids UUID[] DEFAULT '{}' NOT NULL,
    priority INTEGER,
    CONSTRAINT pk_territories PRIMARY KEY (id),
    CONSTRAINT fk_territories_model_id FOREIGN KEY(model_id) REFERENCES territory_models (id),
    CONSTRAINT fk_territories_parent_id FOREIGN KEY(parent_id) REFERENCES territories (id),
    CONSTRAINT fk_territories_owner_id FOREIGN KEY(owner_id) REFERENCES users (id)
);

CREATE INDEX ix_territories_external ON territories USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_territories_model_id ON territories (model_id) WHERE deleted_at IS NULL;

CREATE TABLE accounts (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT NOT NULL,
    domain TEXT,
    website TEXT,
    phone TEXT,
    description TEXT,
    parent_id UUID,
    industry TEXT,
    type TEXT CONSTRAINT ck_accounts_type CHECK (type IN ('prospect', 'customer', 'partner', 'competitor', 'former_customer')),
    segment TEXT CONSTRAINT ck_accounts_segment CHECK (segment IN ('smb', 'mid_market', 'enterprise')),
    number_of_employees INTEGER,
    annual_revenue NUMERIC(19, 4),
    currency TEXT CONSTRAINT ck_accounts_currency CHECK (currency ~ '^[A-Z]{3}$'),
    owner_id UUID,
    territory_id UUID,
    billing_address JSONB,
    shipping_address JSONB,
    lead_source TEXT,
    health_score DOUBLE PRECISION,
    CONSTRAINT pk_accounts PRIMARY KEY (id),
    CONSTRAINT fk_accounts_parent_id FOREIGN KEY(parent_id) REFERENCES accounts (id),
    CONSTRAINT fk_accounts_owner_id FOREIGN KEY(owner_id) REFERENCES users (id),
    CONSTRAINT fk_accounts_territory_id FOREIGN KEY(territory_id) REFERENCES territories (id)
);

CREATE INDEX ix_accounts_domain ON accounts (lower(domain)) WHERE deleted_at IS NULL AND domain IS NOT NULL;

CREATE INDEX ix_accounts_parent_id ON accounts (parent_id) WHERE deleted_at IS NULL AND parent_id IS NOT NULL;

CREATE INDEX ix_accounts_name_sorted ON accounts (lower(name) COLLATE "C", id) WHERE deleted_at IS NULL;

CREATE INDEX ix_accounts_external ON accounts USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_accounts_owner_id ON accounts (owner_id) WHERE deleted_at IS NULL;

CREATE TABLE quotas (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    period_id UUID NOT NULL,
    user_id UUID,
    team_id UUID,
    territory_id UUID,
    amount NUMERIC(19, 4) NOT NULL,
    currency TEXT CONSTRAINT ck_quotas_currency CHECK (currency ~ '^[A-Z]{3}$'),
    measure TEXT DEFAULT 'bookings' NOT NULL CONSTRAINT ck_quotas_measure CHECK (measure IN ('bookings', 'new_business', 'expansion', 'renewal', 'units', 'meetings')),
    ramp_percent DOUBLE PRECISION,
    parent_id UUID,
    status TEXT DEFAULT 'published' NOT NULL CONSTRAINT ck_quotas_status CHECK (status IN ('draft', 'published')),
    CONSTRAINT pk_quotas PRIMARY KEY (id),
    CONSTRAINT ck_quotas_node CHECK (num_nonnulls(user_id, team_id, territory_id) = 1),
    CONSTRAINT fk_quotas_period_id FOREIGN KEY(period_id) REFERENCES periods (id),
    CONSTRAINT fk_quotas_user_id FOREIGN KEY(user_id) REFERENCES users (id),
    CONSTRAINT fk_quotas_team_id FOREIGN KEY(team_id) REFERENCES teams (id),
    CONSTRAINT fk_quotas_territory_id FOREIGN KEY(territory_id) REFERENCES territories (id),
    CONSTRAINT fk_quotas_parent_id FOREIGN KEY(parent_id) REFERENCES quotas (id)
);

CREATE UNIQUE INDEX uq_quotas_user ON quotas (period_id, user_id, measure) WHERE deleted_at IS NULL AND user_id IS NOT NULL;

CREATE INDEX ix_quotas_external ON quotas USING gin (external_ids jsonb_path_ops);

CREATE UNIQUE INDEX uq_quotas_territory ON quotas (period_id, territory_id, measure) WHERE deleted_at IS NULL AND territory_id IS NOT NULL;

CREATE UNIQUE INDEX uq_quotas_team ON quotas (period_id, team_id, measure) WHERE deleted_at IS NULL AND team_id IS NOT NULL;

CREATE TABLE contacts (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    last_name TEXT NOT NULL,
    first_name TEXT,
    account_id UUID,
    email TEXT,
    phone TEXT,
    mobile_phone TEXT,
    title TEXT,
    department TEXT,
    reports_to_id UUID,
    owner_id UUID,
    email_opt_out BOOLEAN DEFAULT FALSE NOT NULL,
    do_not_call BOOLEAN DEFAULT FALSE NOT NULL,
    consent_at TIMESTAMP WITH TIME ZONE,
    lead_source TEXT,
    mailing_address JSONB,
    time_zone TEXT,
    CONSTRAINT pk_contacts PRIMARY KEY (id),
    CONSTRAINT fk_contacts_account_id FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT fk_contacts_reports_to_id FOREIGN KEY(reports_to_id) REFERENCES contacts (id),
    CONSTRAINT fk_contacts_owner_id FOREIGN KEY(owner_id) REFERENCES users (id)
);

CREATE INDEX ix_contacts_email ON contacts (lower(email)) WHERE deleted_at IS NULL AND email IS NOT NULL;

CREATE INDEX ix_contacts_owner_id ON contacts (owner_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_contacts_account_id ON contacts (account_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_contacts_last_name_sorted ON contacts (lower(last_name) COLLATE "C", id) WHERE deleted_at IS NULL;

CREATE INDEX ix_contacts_external ON contacts USING gin (external_ids jsonb_path_ops);

CREATE TABLE opportunities (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    name TEXT NOT NULL,
    account_id UUID,
    owner_id UUID NOT NULL,
    pipeline_id UUID NOT NULL,
    stage TEXT NOT NULL,
    status TEXT DEFAULT 'open' NOT NULL CONSTRAINT ck_opportunities_status CHECK (status IN ('open', 'won', 'lost')),
    primary_contact_id UUID,
    amount NUMERIC(19, 4),
    currency TEXT CONSTRAINT ck_opportunities_currency CHECK (currency ~ '^[A-Z]{3}$'),
    amount_home NUMERIC(19, 4),
    expected_revenue NUMERIC(19, 4) GENERATED ALWAYS AS (round(amount * probability::numeric, 4)) STORED,
    close_date DATE,
    next_step TEXT,
    next_step_due DATE,
    closed_at TIMESTAMP WITH TIME ZONE,
    closed_on DATE,
    forecast_category TEXT NOT NULL CONSTRAINT ck_opportunities_forecast_category CHECK (forecast_category IN ('omitted', 'pipeline', 'best_case', 'commit', 'closed')),
    forecast_category_source TEXT DEFAULT 'stage' NOT NULL CONSTRAINT ck_opportunities_forecast_category_source CHECK (forecast_category_source IN ('stage', 'user')),
    probability DOUBLE PRECISION NOT NULL CONSTRAINT ck_opportunities_probability CHECK (probability BETWEEN 0 AND 1),
    type TEXT CONSTRAINT ck_opportunities_type CHECK (type IN ('new_business', 'expansion', 'renewal')),
    lead_source TEXT,
    campaign_id UUID,
    description TEXT,
    loss_reason TEXT CONSTRAINT ck_opportunities_loss_reason CHECK (loss_reason IN ('price', 'product', 'competitor', 'no_budget', 'no_decision', 'timing', 'relationship', 'disqualified', 'other')),
    closed_note TEXT,
    competitor_id UUID,
    competitor_ids UUID[] DEFAULT '{}' NOT NULL,
    territory_id UUID,
    stage_entered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_opportunities PRIMARY KEY (id),
    CONSTRAINT ck_opportunities_closed_at CHECK ((status = 'open') = (closed_at IS NULL)),
    CONSTRAINT fk_opportunities_account_id FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT fk_opportunities_owner_id FOREIGN KEY(owner_id) REFERENCES users (id),
    CONSTRAINT fk_opportunities_pipeline_id FOREIGN KEY(pipeline_id) REFERENCES pipelines (id),
    CONSTRAINT fk_opportunities_primary_contact_id FOREIGN KEY(primary_contact_id) REFERENCES contacts (id),
    CONSTRAINT fk_opportunities_competitor_id FOREIGN KEY(competitor_id) REFERENCES competitors (id),
    CONSTRAINT fk_opportunities_territory_id FOREIGN KEY(territory_id) REFERENCES territories (id)
);

CREATE INDEX ix_opportunities_amount_home ON opportunities (amount_home, id) WHERE deleted_at IS NULL;

CREATE INDEX ix_opportunities_external ON opportunities USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_opportunities_board ON opportunities (pipeline_id, stage, id) WHERE deleted_at IS NULL;

CREATE INDEX ix_opportunities_closed_at ON opportunities (closed_at) WHERE deleted_at IS NULL AND closed_at IS NOT NULL;

CREATE INDEX ix_opportunities_account_id ON opportunities (account_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_opportunities_close_date ON opportunities (close_date) WHERE deleted_at IS NULL AND status = 'open';

CREATE INDEX ix_opportunities_owner_id ON opportunities (owner_id, status) WHERE deleted_at IS NULL;

CREATE INDEX ix_opportunities_name_sorted ON opportunities (lower(name) COLLATE "C", id) WHERE deleted_at IS NULL;

CREATE TABLE leads (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    last_name TEXT,
    first_name TEXT,
    company TEXT,
    email TEXT,
    title TEXT,
    phone TEXT,
    website TEXT,
    industry TEXT,
    number_of_employees INTEGER,
    annual_revenue NUMERIC(19, 4),
    currency TEXT CONSTRAINT ck_leads_currency CHECK (currency ~ '^[A-Z]{3}$'),
    address JSONB,
    status TEXT DEFAULT 'new' NOT NULL CONSTRAINT ck_leads_status CHECK (status IN ('new', 'working', 'nurturing', 'qualified', 'unqualified', 'converted')),
    rating TEXT CONSTRAINT ck_leads_rating CHECK (rating IN ('hot', 'warm', 'cold')),
    unqualified_reason TEXT,
    lead_source TEXT CONSTRAINT ck_leads_lead_source CHECK (lead_source IN ('web', 'inbound_call', 'referral', 'event', 'partner', 'outbound', 'marketing', 'other')),
    campaign_id UUID,
    mql_at TIMESTAMP WITH TIME ZONE,
    mql_score DOUBLE PRECISION,
    email_opt_out BOOLEAN DEFAULT FALSE NOT NULL,
    do_not_call BOOLEAN DEFAULT FALSE NOT NULL,
    owner_id UUID,
    pool_id UUID,
    assigned_at TIMESTAMP WITH TIME ZONE,
    response_due_at TIMESTAMP WITH TIME ZONE,
    first_response_at TIMESTAMP WITH TIME ZONE,
    converted_at TIMESTAMP WITH TIME ZONE,
    converted_account_id UUID,
    converted_contact_id UUID,
    converted_opportunity_id UUID,
    CONSTRAINT pk_leads PRIMARY KEY (id),
    CONSTRAINT fk_leads_owner_id FOREIGN KEY(owner_id) REFERENCES users (id),
    CONSTRAINT fk_leads_converted_account_id FOREIGN KEY(converted_account_id) REFERENCES accounts (id),
    CONSTRAINT fk_leads_converted_contact_id FOREIGN KEY(converted_contact_id) REFERENCES contacts (id),
    CONSTRAINT fk_leads_converted_opportunity_id FOREIGN KEY(converted_opportunity_id) REFERENCES opportunities (id)
);

CREATE INDEX ix_leads_company_sorted ON leads (lower(company) COLLATE "C", id) WHERE deleted_at IS NULL;

CREATE INDEX ix_leads_external ON leads USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_leads_status ON leads (status, id) WHERE deleted_at IS NULL;

CREATE INDEX ix_leads_email ON leads (lower(email)) WHERE deleted_at IS NULL AND email IS NOT NULL;

CREATE INDEX ix_leads_owner_id ON leads (owner_id) WHERE deleted_at IS NULL;

CREATE TABLE lines (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    opportunity_id UUID NOT NULL,
    product_id UUID NOT NULL,
    quantity DOUBLE PRECISION NOT NULL,
    unit_price NUMERIC(19, 4),
    discount_percent DOUBLE PRECISION,
    total_price NUMERIC(19, 4) GENERATED ALWAYS AS (round(quantity::numeric * unit_price * (1 - coalesce(discount_percent, 0)::numeric / 100), 4)) STORED,
    start_date DATE,
    term_months INTEGER,
    description TEXT,
    position INTEGER,
    CONSTRAINT pk_lines PRIMARY KEY (id),
    CONSTRAINT fk_lines_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_lines_product_id FOREIGN KEY(product_id) REFERENCES products (id)
);

CREATE INDEX ix_lines_opportunity_id ON lines (opportunity_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_lines_external ON lines USING gin (external_ids jsonb_path_ops);

CREATE TABLE stakeholders (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    opportunity_id UUID NOT NULL,
    contact_id UUID NOT NULL,
    role TEXT NOT NULL CONSTRAINT ck_stakeholders_role CHECK (role IN ('economic_buyer', 'decision_maker', 'champion', 'influencer', 'technical_evaluator', 'end_user', 'executive_sponsor', 'procurement', 'legal', 'other')),
    is_primary BOOLEAN DEFAULT FALSE NOT NULL,
    influence TEXT CONSTRAINT ck_stakeholders_influence CHECK (influence IN ('low', 'medium', 'high')),
    sentiment TEXT CONSTRAINT ck_stakeholders_sentiment CHECK (sentiment IN ('supporter', 'neutral', 'opponent', 'unknown')),
    reports_to_id UUID,
    notes TEXT,
    CONSTRAINT pk_stakeholders PRIMARY KEY (id),
    CONSTRAINT fk_stakeholders_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_stakeholders_contact_id FOREIGN KEY(contact_id) REFERENCES contacts (id),
    CONSTRAINT fk_stakeholders_reports_to_id FOREIGN KEY(reports_to_id) REFERENCES stakeholders (id)
);

CREATE INDEX ix_stakeholders_contact_id ON stakeholders (contact_id) WHERE deleted_at IS NULL;

CREATE INDEX ix_stakeholders_external ON stakeholders USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_stakeholders_opportunity_id ON stakeholders (opportunity_id) WHERE deleted_at IS NULL;

CREATE TABLE activities (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    type TEXT NOT NULL CONSTRAINT ck_activities_type CHECK (type IN ('email', 'call', 'meeting', 'demo', 'task', 'note')),
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    subject TEXT,
    body TEXT,
    direction TEXT CONSTRAINT ck_activities_direction CHECK (direction IN ('inbound', 'outbound')),
    status TEXT DEFAULT 'completed' NOT NULL CONSTRAINT ck_activities_status CHECK (status IN ('planned', 'completed', 'canceled', 'no_show')),
    outcome TEXT CONSTRAINT ck_activities_outcome CHECK (outcome IN ('connected', 'voicemail', 'no_answer', 'replied', 'bounced', 'held', 'rescheduled', 'other')),
    duration_seconds INTEGER,
    owner_id UUID,
    account_id UUID,
    opportunity_id UUID,
    lead_id UUID,
    contact_id UUID,
    recommendation_id UUID,
    thread_id TEXT,
    participants JSONB DEFAULT '[]' NOT NULL,
    source TEXT,
    source_id TEXT,
    CONSTRAINT pk_activities PRIMARY KEY (id),
    CONSTRAINT fk_activities_owner_id FOREIGN KEY(owner_id) REFERENCES users (id),
    CONSTRAINT fk_activities_account_id FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT fk_activities_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_activities_lead_id FOREIGN KEY(lead_id) REFERENCES leads (id),
    CONSTRAINT fk_activities_contact_id FOREIGN KEY(contact_id) REFERENCES contacts (id)
);

CREATE INDEX ix_activities_opportunity_id ON activities (opportunity_id, occurred_at) WHERE deleted_at IS NULL AND opportunity_id IS NOT NULL;

CREATE INDEX ix_activities_lead_id ON activities (lead_id, occurred_at) WHERE deleted_at IS NULL AND lead_id IS NOT NULL;

CREATE UNIQUE INDEX uq_activities_source ON activities (source, source_id) WHERE deleted_at IS NULL AND source_id IS NOT NULL;

CREATE INDEX ix_activities_account_id ON activities (account_id, occurred_at) WHERE deleted_at IS NULL AND account_id IS NOT NULL;

CREATE INDEX ix_activities_owner_id ON activities (owner_id, occurred_at) WHERE deleted_at IS NULL;

CREATE INDEX ix_activities_external ON activities USING gin (external_ids jsonb_path_ops);

CREATE TABLE notes (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    body TEXT NOT NULL,
    kind TEXT DEFAULT 'note' NOT NULL CONSTRAINT ck_notes_kind CHECK (kind IN ('note', 'win_loss')),
    opportunity_id UUID,
    account_id UUID,
    contact_id UUID,
    lead_id UUID,
    CONSTRAINT pk_notes PRIMARY KEY (id),
    CONSTRAINT fk_notes_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_notes_account_id FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT fk_notes_contact_id FOREIGN KEY(contact_id) REFERENCES contacts (id),
    CONSTRAINT fk_notes_lead_id FOREIGN KEY(lead_id) REFERENCES leads (id)
);

CREATE INDEX ix_notes_external ON notes USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_notes_lead_id ON notes (lead_id) WHERE deleted_at IS NULL AND lead_id IS NOT NULL;

CREATE INDEX ix_notes_account_id ON notes (account_id) WHERE deleted_at IS NULL AND account_id IS NOT NULL;

CREATE INDEX ix_notes_contact_id ON notes (contact_id) WHERE deleted_at IS NULL AND contact_id IS NOT NULL;

CREATE INDEX ix_notes_opportunity_id ON notes (opportunity_id) WHERE deleted_at IS NULL AND opportunity_id IS NOT NULL;

ALTER TABLE teams ADD CONSTRAINT fk_teams_manager_id FOREIGN KEY(manager_id) REFERENCES users (id);

CREATE TABLE registry.versions (
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    tier TEXT NOT NULL,
    status TEXT DEFAULT 'candidate' NOT NULL,
    feature_set TEXT NOT NULL,
    metrics JSONB DEFAULT '{}' NOT NULL,
    verdict JSONB DEFAULT '{}' NOT NULL,
    card JSONB DEFAULT '{}' NOT NULL,
    artifact_path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    run_id TEXT,
    training_as_of TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_by TEXT DEFAULT 'system' NOT NULL,
    CONSTRAINT pk_versions PRIMARY KEY (model, version),
    CONSTRAINT ck_versions_status CHECK (status IN ('candidate', 'published', 'refused', 'retired')),
    CONSTRAINT ck_versions_tier CHECK (tier IN ('baseline', 'logistic', 'gbm'))
);

CREATE TABLE registry.champions (
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    previous_version INTEGER,
    pinned BOOLEAN DEFAULT false NOT NULL,
    promoted_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    promoted_by TEXT DEFAULT 'system' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    CONSTRAINT pk_champions PRIMARY KEY (model)
);

CREATE FUNCTION hold_key(key bigint) RETURNS boolean LANGUAGE plpgsql AS $body$
BEGIN
    IF pg_try_advisory_xact_lock(key) THEN RETURN TRUE; END IF;
    RAISE EXCEPTION 'in flight' USING ERRCODE = 'lock_not_available';
END $body$;

CREATE TABLE history.api_keys (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "scopes" JSONB,
    "expires_at" TIMESTAMP WITH TIME ZONE,
    "prefix" TEXT,
    "user_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_api_keys_change ON history.api_keys (change_id);

CREATE INDEX ix_history_api_keys_user_id ON history.api_keys (user_id) WHERE user_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_api_keys() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of api_keys that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.api_keys h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.api_keys ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "scopes", "expires_at", "prefix", "user_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."scopes", n."expires_at", n."prefix", n."user_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON api_keys REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_api_keys();

CREATE TRIGGER keep_update AFTER UPDATE ON api_keys REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_api_keys();

CREATE TABLE history.company (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "home_currency" TEXT,
    "time_zone" TEXT,
    "fiscal_year_start" INTEGER,
    "week_start" INTEGER,
    "holidays" JSONB,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_company_change ON history.company (change_id);

CREATE OR REPLACE FUNCTION history.keep_company() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of company that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.company h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.company ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "home_currency", "time_zone", "fiscal_year_start", "week_start", "holidays", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."home_currency", n."time_zone", n."fiscal_year_start", n."week_start", n."holidays", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON company REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_company();

CREATE TRIGGER keep_update AFTER UPDATE ON company REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_company();

CREATE TABLE history.competitors (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "aliases" TEXT[],
    "domain" TEXT,
    "strengths" TEXT,
    "weaknesses" TEXT,
    "is_active" BOOLEAN,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_competitors_change ON history.competitors (change_id);

CREATE OR REPLACE FUNCTION history.keep_competitors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of competitors that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.competitors h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.competitors ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "aliases", "domain", "strengths", "weaknesses", "is_active", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."aliases", n."domain", n."strengths", n."weaknesses", n."is_active", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON competitors REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_competitors();

CREATE TRIGGER keep_update AFTER UPDATE ON competitors REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_competitors();

CREATE TABLE history.exchange_rates (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "currency" TEXT,
    "date" DATE,
    "rate" NUMERIC(20, 10),
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_exchange_rates_change ON history.exchange_rates (change_id);

CREATE OR REPLACE FUNCTION history.keep_exchange_rates() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of exchange_rates that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.exchange_rates h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.exchange_rates ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "currency", "date", "rate", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."currency", n."date", n."rate", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON exchange_rates REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_exchange_rates();

CREATE TRIGGER keep_update AFTER UPDATE ON exchange_rates REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_exchange_rates();

CREATE TABLE history.forecast_overrides (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "period" TEXT,
    "node_type" TEXT,
    "node_id" UUID,
    "category" TEXT,
    "amount" NUMERIC(19, 4),
    "original" NUMERIC(19, 4),
    "reason" TEXT,
    "place" INTEGER,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_forecast_overrides_change ON history.forecast_overrides (change_id);

CREATE OR REPLACE FUNCTION history.keep_forecast_overrides() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of forecast_overrides that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.forecast_overrides h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.forecast_overrides ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "period", "node_type", "node_id", "category", "amount", "original", "reason", "place", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."period", n."node_type", n."node_id", n."category", n."amount", n."original", n."reason", n."place", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON forecast_overrides REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_forecast_overrides();

CREATE TRIGGER keep_update AFTER UPDATE ON forecast_overrides REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_forecast_overrides();

CREATE TABLE history.periods (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "key" TEXT,
    "name" TEXT,
    "type" TEXT,
    "start_date" DATE,
    "end_date" DATE,
    "fiscal_year" INTEGER,
    "parent_id" UUID,
    "status" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_periods_change ON history.periods (change_id);

CREATE OR REPLACE FUNCTION history.keep_periods() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of periods that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.periods h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.periods ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "key", "name", "type", "start_date", "end_date", "fiscal_year", "parent_id", "status", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."key", n."name", n."type", n."start_date", n."end_date", n."fiscal_year", n."parent_id", n."status", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON periods REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_periods();

CREATE TRIGGER keep_update AFTER UPDATE ON periods REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_periods();

CREATE TABLE history.pipelines (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "key" TEXT,
    "name" TEXT,
    "is_default" BOOLEAN,
    "is_active" BOOLEAN,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_pipelines_change ON history.pipelines (change_id);

CREATE OR REPLACE FUNCTION history.keep_pipelines() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of pipelines that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.pipelines h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.pipelines ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "key", "name", "is_default", "is_active", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."key", n."name", n."is_default", n."is_active", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON pipelines REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_pipelines();

CREATE TRIGGER keep_update AFTER UPDATE ON pipelines REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_pipelines();

CREATE TABLE history.products (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "code" TEXT,
    "name" TEXT,
    "family" TEXT,
    "description" TEXT,
    "list_price" NUMERIC(19, 4),
    "currency" TEXT,
    "billing_period" TEXT,
    "is_active" BOOLEAN,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_products_change ON history.products (change_id);

CREATE OR REPLACE FUNCTION history.keep_products() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of products that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.products h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.products ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "code", "name", "family", "description", "list_price", "currency", "billing_period", "is_active", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."code", n."name", n."family", n."description", n."list_price", n."currency", n."billing_period", n."is_active", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON products REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_products();

CREATE TRIGGER keep_update AFTER UPDATE ON products REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_products();

CREATE TABLE history.teams (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "parent_id" UUID,
    "manager_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_teams_change ON history.teams (change_id);

CREATE OR REPLACE FUNCTION history.keep_teams() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of teams that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.teams h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.teams ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "parent_id", "manager_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."parent_id", n."manager_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON teams REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_teams();

CREATE TRIGGER keep_update AFTER UPDATE ON teams REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_teams();

CREATE TABLE history.territory_models (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "status" TEXT,
    "effective_from" DATE,
    "based_on_id" UUID,
    "activated_at" TIMESTAMP WITH TIME ZONE,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_territory_models_change ON history.territory_models (change_id);

CREATE OR REPLACE FUNCTION history.keep_territory_models() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of territory_models that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.territory_models h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.territory_models ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "status", "effective_from", "based_on_id", "activated_at", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."status", n."effective_from", n."based_on_id", n."activated_at", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON territory_models REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_territory_models();

CREATE TRIGGER keep_update AFTER UPDATE ON territory_models REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_territory_models();

CREATE TABLE history.webhooks (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "url" TEXT,
    "events" JSONB,
    "filter" JSONB,
    "description" TEXT,
    "is_active" BOOLEAN,
    "status" TEXT,
    "disabled_reason" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_webhooks_change ON history.webhooks (change_id);

CREATE OR REPLACE FUNCTION history.keep_webhooks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of webhooks that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.webhooks h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.webhooks ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "url", "events", "filter", "description", "is_active", "status", "disabled_reason", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."url", n."events", n."filter", n."description", n."is_active", n."status", n."disabled_reason", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON webhooks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_webhooks();

CREATE TRIGGER keep_update AFTER UPDATE ON webhooks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_webhooks();

CREATE TABLE history.playbooks (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "description" TEXT,
    "pipeline_id" UUID,
    "stage" TEXT,
    "criteria" JSONB,
    "steps" JSONB,
    "status" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_playbooks_change ON history.playbooks (change_id);

CREATE OR REPLACE FUNCTION history.keep_playbooks() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of playbooks that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.playbooks h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.playbooks ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "description", "pipeline_id", "stage", "criteria", "steps", "status", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."description", n."pipeline_id", n."stage", n."criteria", n."steps", n."status", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON playbooks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_playbooks();

CREATE TRIGGER keep_update AFTER UPDATE ON playbooks REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_playbooks();

CREATE TABLE history.stages (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "pipeline_id" UUID,
    "key" TEXT,
    "name" TEXT,
    "position" INTEGER,
    "status" TEXT,
    "probability" DOUBLE PRECISION,
    "forecast_category" TEXT,
    "exit_criteria" JSONB,
    "rotting_days" INTEGER,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_stages_change ON history.stages (change_id);

CREATE OR REPLACE FUNCTION history.keep_stages() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of stages that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.stages h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.stages ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "pipeline_id", "key", "name", "position", "status", "probability", "forecast_category", "exit_criteria", "rotting_days", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."pipeline_id", n."key", n."name", n."position", n."status", n."probability", n."forecast_category", n."exit_criteria", n."rotting_days", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON stages REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_stages();

CREATE TRIGGER keep_update AFTER UPDATE ON stages REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_stages();

CREATE TABLE history.users (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "email" TEXT,
    "name" TEXT,
    "title" TEXT,
    "role" TEXT,
    "is_active" BOOLEAN,
    "manager_id" UUID,
    "team_id" UUID,
    "time_zone" TEXT,
    "locale" TEXT,
    "start_date" DATE,
    "end_date" DATE,
    "capacity" INTEGER,
    "skills" TEXT[],
    "working_hours" JSONB,
    "absences" JSONB,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_users_change ON history.users (change_id);

CREATE OR REPLACE FUNCTION history.keep_users() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of users that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.users h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.users ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "email", "name", "title", "role", "is_active", "manager_id", "team_id", "time_zone", "locale", "start_date", "end_date", "capacity", "skills", "working_hours", "absences", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."email", n."name", n."title", n."role", n."is_active", n."manager_id", n."team_id", n."time_zone", n."locale", n."start_date", n."end_date", n."capacity", n."skills", n."working_hours", n."absences", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON users REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_users();

CREATE TRIGGER keep_update AFTER UPDATE ON users REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_users();

CREATE TABLE history.battle_cards (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "competitor_id" UUID,
    "title" TEXT,
    "body" TEXT,
    "product_ids" UUID[],
    "tags" TEXT[],
    "status" TEXT,
    "owner_id" UUID,
    "reviewed_at" TIMESTAMP WITH TIME ZONE,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_battle_cards_change ON history.battle_cards (change_id);

CREATE INDEX ix_history_battle_cards_owner_id ON history.battle_cards (owner_id) WHERE owner_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_battle_cards() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of battle_cards that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.battle_cards h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.battle_cards ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "competitor_id", "title", "body", "product_ids", "tags", "status", "owner_id", "reviewed_at", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."competitor_id", n."title", n."body", n."product_ids", n."tags", n."status", n."owner_id", n."reviewed_at", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON battle_cards REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_battle_cards();

CREATE TRIGGER keep_update AFTER UPDATE ON battle_cards REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_battle_cards();

CREATE TABLE history.forecast_submissions (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "period" TEXT,
    "node_type" TEXT,
    "node_id" UUID,
    "commit" NUMERIC(19, 4),
    "best_case" NUMERIC(19, 4),
    "note" TEXT,
    "submitted_by_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_forecast_submissions_change ON history.forecast_submissions (change_id);

CREATE OR REPLACE FUNCTION history.keep_forecast_submissions() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of forecast_submissions that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.forecast_submissions h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.forecast_submissions ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "period", "node_type", "node_id", "commit", "best_case", "note", "submitted_by_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."period", n."node_type", n."node_id", n."commit", n."best_case", n."note", n."submitted_by_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON forecast_submissions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_forecast_submissions();

CREATE TRIGGER keep_update AFTER UPDATE ON forecast_submissions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_forecast_submissions();

CREATE TABLE history.territories (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "model_id" UUID,
    "name" TEXT,
    "parent_id" UUID,
    "owner_id" UUID,
    "member_ids" UUID[],
    "type" TEXT,
    "criteria" JSONB,
    "match" TEXT,
    "account_ids" UUID[],
    "priority" INTEGER,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_territories_change ON history.territories (change_id);

CREATE INDEX ix_history_territories_owner_id ON history.territories (owner_id) WHERE owner_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_territories() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of territories that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.territories h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.territories ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "model_id", "name", "parent_id", "owner_id", "member_ids", "type", "criteria", "match", "account_ids", "priority", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."model_id", n."name", n."parent_id", n."owner_id", n."member_ids", n."type", n."criteria", n."match", n."account_ids", n."priority", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON territories REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_territories();

CREATE TRIGGER keep_update AFTER UPDATE ON territories REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_territories();

CREATE TABLE history.accounts (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "domain" TEXT,
    "website" TEXT,
    "phone" TEXT,
    "description" TEXT,
    "parent_id" UUID,
    "industry" TEXT,
    "type" TEXT,
    "segment" TEXT,
    "number_of_employees" INTEGER,
    "annual_revenue" NUMERIC(19, 4),
    "currency" TEXT,
    "owner_id" UUID,
    "territory_id" UUID,
    "billing_address" JSONB,
    "shipping_address" JSONB,
    "lead_source" TEXT,
    "health_score" DOUBLE PRECISION,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_accounts_change ON history.accounts (change_id);

CREATE INDEX ix_history_accounts_owner_id ON history.accounts (owner_id) WHERE owner_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_accounts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of accounts that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.accounts h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.accounts ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "domain", "website", "phone", "description", "parent_id", "industry", "type", "segment", "number_of_employees", "annual_revenue", "currency", "owner_id", "territory_id", "billing_address", "shipping_address", "lead_source", "health_score", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."domain", n."website", n."phone", n."description", n."parent_id", n."industry", n."type", n."segment", n."number_of_employees", n."annual_revenue", n."currency", n."owner_id", n."territory_id", n."billing_address", n."shipping_address", n."lead_source", n."health_score", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON accounts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_accounts();

CREATE TRIGGER keep_update AFTER UPDATE ON accounts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_accounts();

CREATE TABLE history.quotas (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "period_id" UUID,
    "user_id" UUID,
    "team_id" UUID,
    "territory_id" UUID,
    "amount" NUMERIC(19, 4),
    "currency" TEXT,
    "measure" TEXT,
    "ramp_percent" DOUBLE PRECISION,
    "parent_id" UUID,
    "status" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_quotas_change ON history.quotas (change_id);

CREATE INDEX ix_history_quotas_user_id ON history.quotas (user_id) WHERE user_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_quotas() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of quotas that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.quotas h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.quotas ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "period_id", "user_id", "team_id", "territory_id", "amount", "currency", "measure", "ramp_percent", "parent_id", "status", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."period_id", n."user_id", n."team_id", n."territory_id", n."amount", n."currency", n."measure", n."ramp_percent", n."parent_id", n."status", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON quotas REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_quotas();

CREATE TRIGGER keep_update AFTER UPDATE ON quotas REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_quotas();

CREATE TABLE history.contacts (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "last_name" TEXT,
    "first_name" TEXT,
    "account_id" UUID,
    "email" TEXT,
    "phone" TEXT,
    "mobile_phone" TEXT,
    "title" TEXT,
    "department" TEXT,
    "reports_to_id" UUID,
    "owner_id" UUID,
    "email_opt_out" BOOLEAN,
    "do_not_call" BOOLEAN,
    "consent_at" TIMESTAMP WITH TIME ZONE,
    "lead_source" TEXT,
    "mailing_address" JSONB,
    "time_zone" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_contacts_change ON history.contacts (change_id);

CREATE INDEX ix_history_contacts_account_id ON history.contacts (account_id) WHERE account_id IS NOT NULL;

CREATE INDEX ix_history_contacts_owner_id ON history.contacts (owner_id) WHERE owner_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_contacts() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of contacts that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.contacts h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.contacts ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "last_name", "first_name", "account_id", "email", "phone", "mobile_phone", "title", "department", "reports_to_id", "owner_id", "email_opt_out", "do_not_call", "consent_at", "lead_source", "mailing_address", "time_zone", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."last_name", n."first_name", n."account_id", n."email", n."phone", n."mobile_phone", n."title", n."department", n."reports_to_id", n."owner_id", n."email_opt_out", n."do_not_call", n."consent_at", n."lead_source", n."mailing_address", n."time_zone", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON contacts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_contacts();

CREATE TRIGGER keep_update AFTER UPDATE ON contacts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_contacts();

CREATE TABLE history.opportunities (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "name" TEXT,
    "account_id" UUID,
    "owner_id" UUID,
    "pipeline_id" UUID,
    "stage" TEXT,
    "status" TEXT,
    "primary_contact_id" UUID,
    "amount" NUMERIC(19, 4),
    "currency" TEXT,
    "amount_home" NUMERIC(19, 4),
    "expected_revenue" NUMERIC(19, 4),
    "close_date" DATE,
    "next_step" TEXT,
    "next_step_due" DATE,
    "closed_at" TIMESTAMP WITH TIME ZONE,
    "closed_on" DATE,
    "forecast_category" TEXT,
    "forecast_category_source" TEXT,
    "probability" DOUBLE PRECISION,
    "type" TEXT,
    "lead_source" TEXT,
    "campaign_id" UUID,
    "description" TEXT,
    "loss_reason" TEXT,
    "closed_note" TEXT,
    "competitor_id" UUID,
    "competitor_ids" UUID[],
    "territory_id" UUID,
    "stage_entered_at" TIMESTAMP WITH TIME ZONE,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_opportunities_change ON history.opportunities (change_id);

CREATE INDEX ix_history_opportunities_account_id ON history.opportunities (account_id) WHERE account_id IS NOT NULL;

CREATE INDEX ix_history_opportunities_owner_id ON history.opportunities (owner_id) WHERE owner_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_opportunities() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of opportunities that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.opportunities h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.opportunities ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "account_id", "owner_id", "pipeline_id", "stage", "status", "primary_contact_id", "amount", "currency", "amount_home", "expected_revenue", "close_date", "next_step", "next_step_due", "closed_at", "closed_on", "forecast_category", "forecast_category_source", "probability", "type", "lead_source", "campaign_id", "description", "loss_reason", "closed_note", "competitor_id", "competitor_ids", "territory_id", "stage_entered_at", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."account_id", n."owner_id", n."pipeline_id", n."stage", n."status", n."primary_contact_id", n."amount", n."currency", n."amount_home", n."expected_revenue", n."close_date", n."next_step", n."next_step_due", n."closed_at", n."closed_on", n."forecast_category", n."forecast_category_source", n."probability", n."type", n."lead_source", n."campaign_id", n."description", n."loss_reason", n."closed_note", n."competitor_id", n."competitor_ids", n."territory_id", n."stage_entered_at", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON opportunities REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_opportunities();

CREATE TRIGGER keep_update AFTER UPDATE ON opportunities REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_opportunities();

CREATE TABLE history.leads (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "last_name" TEXT,
    "first_name" TEXT,
    "company" TEXT,
    "email" TEXT,
    "title" TEXT,
    "phone" TEXT,
    "website" TEXT,
    "industry" TEXT,
    "number_of_employees" INTEGER,
    "annual_revenue" NUMERIC(19, 4),
    "currency" TEXT,
    "address" JSONB,
    "status" TEXT,
    "rating" TEXT,
    "unqualified_reason" TEXT,
    "lead_source" TEXT,
    "campaign_id" UUID,
    "mql_at" TIMESTAMP WITH TIME ZONE,
    "mql_score" DOUBLE PRECISION,
    "email_opt_out" BOOLEAN,
    "do_not_call" BOOLEAN,
    "owner_id" UUID,
    "pool_id" UUID,
    "assigned_at" TIMESTAMP WITH TIME ZONE,
    "response_due_at" TIMESTAMP WITH TIME ZONE,
    "first_response_at" TIMESTAMP WITH TIME ZONE,
    "converted_at" TIMESTAMP WITH TIME ZONE,
    "converted_account_id" UUID,
    "converted_contact_id" UUID,
    "converted_opportunity_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_leads_change ON history.leads (change_id);

CREATE INDEX ix_history_leads_owner_id ON history.leads (owner_id) WHERE owner_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_leads() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of leads that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.leads h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.leads ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "last_name", "first_name", "company", "email", "title", "phone", "website", "industry", "number_of_employees", "annual_revenue", "currency", "address", "status", "rating", "unqualified_reason", "lead_source", "campaign_id", "mql_at", "mql_score", "email_opt_out", "do_not_call", "owner_id", "pool_id", "assigned_at", "response_due_at", "first_response_at", "converted_at", "converted_account_id", "converted_contact_id", "converted_opportunity_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."last_name", n."first_name", n."company", n."email", n."title", n."phone", n."website", n."industry", n."number_of_employees", n."annual_revenue", n."currency", n."address", n."status", n."rating", n."unqualified_reason", n."lead_source", n."campaign_id", n."mql_at", n."mql_score", n."email_opt_out", n."do_not_call", n."owner_id", n."pool_id", n."assigned_at", n."response_due_at", n."first_response_at", n."converted_at", n."converted_account_id", n."converted_contact_id", n."converted_opportunity_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON leads REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_leads();

CREATE TRIGGER keep_update AFTER UPDATE ON leads REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_leads();

CREATE TABLE history.lines (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "opportunity_id" UUID,
    "product_id" UUID,
    "quantity" DOUBLE PRECISION,
    "unit_price" NUMERIC(19, 4),
    "discount_percent" DOUBLE PRECISION,
    "total_price" NUMERIC(19, 4),
    "start_date" DATE,
    "term_months" INTEGER,
    "description" TEXT,
    "position" INTEGER,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_lines_change ON history.lines (change_id);

CREATE INDEX ix_history_lines_opportunity_id ON history.lines (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_lines() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of lines that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.lines h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.lines ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "opportunity_id", "product_id", "quantity", "unit_price", "discount_percent", "total_price", "start_date", "term_months", "description", "position", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."opportunity_id", n."product_id", n."quantity", n."unit_price", n."discount_percent", n."total_price", n."start_date", n."term_months", n."description", n."position", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON lines REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_lines();

CREATE TRIGGER keep_update AFTER UPDATE ON lines REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_lines();

CREATE TABLE history.stakeholders (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "opportunity_id" UUID,
    "contact_id" UUID,
    "role" TEXT,
    "is_primary" BOOLEAN,
    "influence" TEXT,
    "sentiment" TEXT,
    "reports_to_id" UUID,
    "notes" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_stakeholders_change ON history.stakeholders (change_id);

CREATE INDEX ix_history_stakeholders_opportunity_id ON history.stakeholders (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_stakeholders_contact_id ON history.stakeholders (contact_id) WHERE contact_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_stakeholders() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of stakeholders that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.stakeholders h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.stakeholders ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "opportunity_id", "contact_id", "role", "is_primary", "influence", "sentiment", "reports_to_id", "notes", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."opportunity_id", n."contact_id", n."role", n."is_primary", n."influence", n."sentiment", n."reports_to_id", n."notes", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON stakeholders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_stakeholders();

CREATE TRIGGER keep_update AFTER UPDATE ON stakeholders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_stakeholders();

CREATE TABLE history.activities (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "type" TEXT,
    "occurred_at" TIMESTAMP WITH TIME ZONE,
    "due_at" TIMESTAMP WITH TIME ZONE,
    "subject" TEXT,
    "body" TEXT,
    "direction" TEXT,
    "status" TEXT,
    "outcome" TEXT,
    "duration_seconds" INTEGER,
    "owner_id" UUID,
    "account_id" UUID,
    "opportunity_id" UUID,
    "lead_id" UUID,
    "contact_id" UUID,
    "recommendation_id" UUID,
    "thread_id" TEXT,
    "participants" JSONB,
    "source" TEXT,
    "source_id" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_activities_change ON history.activities (change_id);

CREATE INDEX ix_history_activities_owner_id ON history.activities (owner_id) WHERE owner_id IS NOT NULL;

CREATE INDEX ix_history_activities_account_id ON history.activities (account_id) WHERE account_id IS NOT NULL;

CREATE INDEX ix_history_activities_opportunity_id ON history.activities (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_activities_lead_id ON history.activities (lead_id) WHERE lead_id IS NOT NULL;

CREATE INDEX ix_history_activities_contact_id ON history.activities (contact_id) WHERE contact_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_activities() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of activities that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.activities h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.activities ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "type", "occurred_at", "due_at", "subject", "body", "direction", "status", "outcome", "duration_seconds", "owner_id", "account_id", "opportunity_id", "lead_id", "contact_id", "recommendation_id", "thread_id", "participants", "source", "source_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."type", n."occurred_at", n."due_at", n."subject", n."body", n."direction", n."status", n."outcome", n."duration_seconds", n."owner_id", n."account_id", n."opportunity_id", n."lead_id", n."contact_id", n."recommendation_id", n."thread_id", n."participants", n."source", n."source_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON activities REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_activities();

CREATE TRIGGER keep_update AFTER UPDATE ON activities REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_activities();

CREATE TABLE history.notes (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "body" TEXT,
    "kind" TEXT,
    "opportunity_id" UUID,
    "account_id" UUID,
    "contact_id" UUID,
    "lead_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_notes_change ON history.notes (change_id);

CREATE INDEX ix_history_notes_opportunity_id ON history.notes (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_notes_account_id ON history.notes (account_id) WHERE account_id IS NOT NULL;

CREATE INDEX ix_history_notes_contact_id ON history.notes (contact_id) WHERE contact_id IS NOT NULL;

CREATE INDEX ix_history_notes_lead_id ON history.notes (lead_id) WHERE lead_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_notes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of notes that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.notes h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.notes ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "body", "kind", "opportunity_id", "account_id", "contact_id", "lead_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."body", n."kind", n."opportunity_id", n."account_id", n."contact_id", n."lead_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON notes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_notes();

CREATE TRIGGER keep_update AFTER UPDATE ON notes REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_notes();
