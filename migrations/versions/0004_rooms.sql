-- Deal rooms (documents, plan items, comments, guest links and their views), notifications and reminders, inspection
-- notes, and what happens in rooms as facts.

CREATE TABLE documents (
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
    type TEXT DEFAULT 'other' NOT NULL CONSTRAINT ck_documents_type CHECK (type IN ('proposal', 'contract', 'quote', 'presentation', 'other')),
    opportunity_id UUID,
    account_id UUID,
    is_shared BOOLEAN DEFAULT FALSE NOT NULL,
    file_name TEXT,
    content_type TEXT,
    size_bytes INTEGER,
    sha256 TEXT,
    content_version INTEGER DEFAULT '0' NOT NULL,
    CONSTRAINT pk_documents PRIMARY KEY (id),
    CONSTRAINT fk_documents_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_documents_account_id FOREIGN KEY(account_id) REFERENCES accounts (id)
);

CREATE INDEX ix_documents_account_id ON documents (account_id) WHERE deleted_at IS NULL AND account_id IS NOT NULL;

CREATE INDEX ix_documents_external ON documents USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_documents_name_sorted ON documents (lower(name) COLLATE "C", id) WHERE deleted_at IS NULL;

CREATE INDEX ix_documents_opportunity_id ON documents (opportunity_id) WHERE deleted_at IS NULL AND opportunity_id IS NOT NULL;

CREATE TABLE history.documents (
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
    "type" TEXT,
    "opportunity_id" UUID,
    "account_id" UUID,
    "is_shared" BOOLEAN,
    "file_name" TEXT,
    "content_type" TEXT,
    "size_bytes" INTEGER,
    "sha256" TEXT,
    "content_version" INTEGER,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_documents_change ON history.documents (change_id);

CREATE INDEX ix_history_documents_opportunity_id ON history.documents (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_documents_account_id ON history.documents (account_id) WHERE account_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_documents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of documents that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.documents h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.documents ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "name", "type", "opportunity_id", "account_id", "is_shared", "file_name", "content_type", "size_bytes", "sha256", "content_version", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."name", n."type", n."opportunity_id", n."account_id", n."is_shared", n."file_name", n."content_type", n."size_bytes", n."sha256", n."content_version", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON documents REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_documents();

CREATE TRIGGER keep_update AFTER UPDATE ON documents REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_documents();

CREATE TABLE guest_links (
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
    name TEXT NOT NULL,
    email TEXT,
    contact_id UUID,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    max_uses INTEGER DEFAULT '100' NOT NULL,
    shows_plan BOOLEAN DEFAULT TRUE NOT NULL,
    all_documents BOOLEAN DEFAULT TRUE NOT NULL,
    document_ids UUID[] DEFAULT '{}' NOT NULL,
    may_tick BOOLEAN DEFAULT FALSE NOT NULL,
    may_comment BOOLEAN DEFAULT FALSE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_guest_links PRIMARY KEY (id),
    CONSTRAINT fk_guest_links_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_guest_links_contact_id FOREIGN KEY(contact_id) REFERENCES contacts (id)
);

CREATE INDEX ix_guest_links_external ON guest_links USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_guest_links_opportunity_id ON guest_links (opportunity_id) WHERE deleted_at IS NULL;

CREATE TABLE history.guest_links (
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
    "name" TEXT,
    "email" TEXT,
    "contact_id" UUID,
    "expires_at" TIMESTAMP WITH TIME ZONE,
    "max_uses" INTEGER,
    "shows_plan" BOOLEAN,
    "all_documents" BOOLEAN,
    "document_ids" UUID[],
    "may_tick" BOOLEAN,
    "may_comment" BOOLEAN,
    "revoked_at" TIMESTAMP WITH TIME ZONE,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_guest_links_change ON history.guest_links (change_id);

CREATE INDEX ix_history_guest_links_opportunity_id ON history.guest_links (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_guest_links_contact_id ON history.guest_links (contact_id) WHERE contact_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_guest_links() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of guest_links that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.guest_links h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.guest_links ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "opportunity_id", "name", "email", "contact_id", "expires_at", "max_uses", "shows_plan", "all_documents", "document_ids", "may_tick", "may_comment", "revoked_at", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."opportunity_id", n."name", n."email", n."contact_id", n."expires_at", n."max_uses", n."shows_plan", n."all_documents", n."document_ids", n."may_tick", n."may_comment", n."revoked_at", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON guest_links REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_guest_links();

CREATE TRIGGER keep_update AFTER UPDATE ON guest_links REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_guest_links();

CREATE TABLE plan_items (
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
    title TEXT NOT NULL,
    description TEXT,
    user_id UUID,
    contact_id UUID,
    due_date DATE,
    status TEXT DEFAULT 'open' NOT NULL CONSTRAINT ck_plan_items_status CHECK (status IN ('open', 'done')),
    position INTEGER DEFAULT '0' NOT NULL,
    is_shared BOOLEAN DEFAULT TRUE NOT NULL,
    completed_at TIMESTAMP WITH TIME ZONE,
    completed_side TEXT CONSTRAINT ck_plan_items_completed_side CHECK (completed_side IN ('ours', 'theirs')),
    CONSTRAINT pk_plan_items PRIMARY KEY (id),
    CONSTRAINT fk_plan_items_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_plan_items_user_id FOREIGN KEY(user_id) REFERENCES users (id),
    CONSTRAINT fk_plan_items_contact_id FOREIGN KEY(contact_id) REFERENCES contacts (id)
);

CREATE INDEX ix_plan_items_external ON plan_items USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_plan_items_opportunity_id ON plan_items (opportunity_id, position, id) WHERE deleted_at IS NULL;

CREATE INDEX ix_plan_items_user_id ON plan_items (user_id, due_date) WHERE deleted_at IS NULL AND status = 'open';

CREATE TABLE history.plan_items (
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
    "title" TEXT,
    "description" TEXT,
    "user_id" UUID,
    "contact_id" UUID,
    "due_date" DATE,
    "status" TEXT,
    "position" INTEGER,
    "is_shared" BOOLEAN,
    "completed_at" TIMESTAMP WITH TIME ZONE,
    "completed_side" TEXT,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_plan_items_change ON history.plan_items (change_id);

CREATE INDEX ix_history_plan_items_opportunity_id ON history.plan_items (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_plan_items_user_id ON history.plan_items (user_id) WHERE user_id IS NOT NULL;

CREATE INDEX ix_history_plan_items_contact_id ON history.plan_items (contact_id) WHERE contact_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_plan_items() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of plan_items that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.plan_items h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.plan_items ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "opportunity_id", "title", "description", "user_id", "contact_id", "due_date", "status", "position", "is_shared", "completed_at", "completed_side", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."opportunity_id", n."title", n."description", n."user_id", n."contact_id", n."due_date", n."status", n."position", n."is_shared", n."completed_at", n."completed_side", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON plan_items REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_plan_items();

CREATE TRIGGER keep_update AFTER UPDATE ON plan_items REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_plan_items();

CREATE TABLE comments (
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
    opportunity_id UUID,
    account_id UUID,
    plan_item_id UUID,
    document_id UUID,
    is_shared BOOLEAN DEFAULT FALSE NOT NULL,
    mention_ids UUID[] DEFAULT '{}' NOT NULL,
    side TEXT DEFAULT 'ours' NOT NULL CONSTRAINT ck_comments_side CHECK (side IN ('ours', 'theirs')),
    author_name TEXT,
    guest_link_id UUID,
    CONSTRAINT pk_comments PRIMARY KEY (id),
    CONSTRAINT fk_comments_opportunity_id FOREIGN KEY(opportunity_id) REFERENCES opportunities (id),
    CONSTRAINT fk_comments_account_id FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT fk_comments_plan_item_id FOREIGN KEY(plan_item_id) REFERENCES plan_items (id),
    CONSTRAINT fk_comments_document_id FOREIGN KEY(document_id) REFERENCES documents (id),
    CONSTRAINT fk_comments_guest_link_id FOREIGN KEY(guest_link_id) REFERENCES guest_links (id)
);

CREATE INDEX ix_comments_account_id ON comments (account_id) WHERE deleted_at IS NULL AND account_id IS NOT NULL;

CREATE INDEX ix_comments_document_id ON comments (document_id) WHERE deleted_at IS NULL AND document_id IS NOT NULL;

CREATE INDEX ix_comments_external ON comments USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_comments_opportunity_id ON comments (opportunity_id, id) WHERE deleted_at IS NULL AND opportunity_id IS NOT NULL;

CREATE INDEX ix_comments_plan_item_id ON comments (plan_item_id) WHERE deleted_at IS NULL AND plan_item_id IS NOT NULL;

CREATE TABLE history.comments (
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
    "opportunity_id" UUID,
    "account_id" UUID,
    "plan_item_id" UUID,
    "document_id" UUID,
    "is_shared" BOOLEAN,
    "mention_ids" UUID[],
    "side" TEXT,
    "author_name" TEXT,
    "guest_link_id" UUID,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_comments_change ON history.comments (change_id);

CREATE INDEX ix_history_comments_opportunity_id ON history.comments (opportunity_id) WHERE opportunity_id IS NOT NULL;

CREATE INDEX ix_history_comments_account_id ON history.comments (account_id) WHERE account_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_comments() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of comments that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.comments h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.comments ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "body", "opportunity_id", "account_id", "plan_item_id", "document_id", "is_shared", "mention_ids", "side", "author_name", "guest_link_id", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."body", n."opportunity_id", n."account_id", n."plan_item_id", n."document_id", n."is_shared", n."mention_ids", n."side", n."author_name", n."guest_link_id", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON comments REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_comments();

CREATE TRIGGER keep_update AFTER UPDATE ON comments REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_comments();

CREATE TABLE reminders (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    created_by_id UUID,
    updated_by_id UUID,
    external_ids JSONB DEFAULT '{}' NOT NULL,
    cf JSONB DEFAULT '{}' NOT NULL,
    user_id UUID NOT NULL,
    record_type TEXT NOT NULL,
    record_id UUID NOT NULL,
    remind_at TIMESTAMP WITH TIME ZONE NOT NULL,
    text TEXT NOT NULL,
    fired_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_reminders PRIMARY KEY (id),
    CONSTRAINT fk_reminders_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);

CREATE INDEX ix_reminders_due ON reminders (remind_at) WHERE deleted_at IS NULL AND fired_at IS NULL;

CREATE INDEX ix_reminders_external ON reminders USING gin (external_ids jsonb_path_ops);

CREATE INDEX ix_reminders_user_id ON reminders (user_id, remind_at) WHERE deleted_at IS NULL;

CREATE TABLE history.reminders (
    "id" UUID,
    "version" INTEGER,
    "created_at" TIMESTAMP WITH TIME ZONE,
    "updated_at" TIMESTAMP WITH TIME ZONE,
    "deleted_at" TIMESTAMP WITH TIME ZONE,
    "created_by_id" UUID,
    "updated_by_id" UUID,
    "external_ids" JSONB,
    "cf" JSONB,
    "user_id" UUID,
    "record_type" TEXT,
    "record_id" UUID,
    "remind_at" TIMESTAMP WITH TIME ZONE,
    "text" TEXT,
    "fired_at" TIMESTAMP WITH TIME ZONE,
    event_id uuid NOT NULL, change_id uuid,
    known_from timestamptz NOT NULL, known_to timestamptz NOT NULL DEFAULT '9999-12-31',
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (id, known_from, version)
) WITH (fillfactor = 90);

CREATE INDEX ix_history_reminders_change ON history.reminders (change_id);

CREATE INDEX ix_history_reminders_user_id ON history.reminders (user_id) WHERE user_id IS NOT NULL;

CREATE OR REPLACE FUNCTION history.keep_reminders() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of reminders that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.reminders h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.reminders ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "user_id", "record_type", "record_id", "remind_at", "text", "fired_at", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."user_id", n."record_type", n."record_id", n."remind_at", n."text", n."fired_at", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE TRIGGER keep_insert AFTER INSERT ON reminders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_reminders();

CREATE TRIGGER keep_update AFTER UPDATE ON reminders REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION history.keep_reminders();

CREATE TABLE notifications (
    id UUID NOT NULL,
    version INTEGER DEFAULT '1' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    deleted_at TIMESTAMP WITH TIME ZONE,
    user_id UUID NOT NULL,
    kind TEXT NOT NULL CONSTRAINT ck_notifications_kind CHECK (kind IN ('mention', 'assignment', 'task_due', 'reminder', 'room_activity', 'deal_changed', 'follow_up')),
    text TEXT NOT NULL,
    record_type TEXT,
    record_id UUID,
    opportunity_id UUID,
    actor_id UUID,
    key TEXT NOT NULL,
    read_at TIMESTAMP WITH TIME ZONE,
    mailed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_notifications PRIMARY KEY (id)
);

CREATE INDEX ix_notifications_unread ON notifications (user_id) WHERE deleted_at IS NULL AND read_at IS NULL;

CREATE INDEX ix_notifications_user_id ON notifications (user_id, id) WHERE deleted_at IS NULL;

CREATE UNIQUE INDEX uq_notifications_key ON notifications (user_id, key);

CREATE TABLE notification_preferences (
    user_id UUID NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    CONSTRAINT pk_notification_preferences PRIMARY KEY (user_id, kind),
    CONSTRAINT ck_notification_preferences_channel CHECK (channel IN ('inbox', 'mail', 'off'))
);

CREATE TABLE guest_link_secrets (
    guest_link_id UUID NOT NULL,
    token_hash BYTEA NOT NULL,
    CONSTRAINT pk_guest_link_secrets PRIMARY KEY (guest_link_id)
);

CREATE TABLE room_visits (
    id UUID NOT NULL,
    guest_link_id UUID NOT NULL,
    cookie_hash BYTEA NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_room_visits PRIMARY KEY (id)
);

CREATE INDEX ix_room_visits_guest_link_id ON room_visits (guest_link_id, opened_at);

CREATE UNIQUE INDEX uq_room_visits_cookie_hash ON room_visits (cookie_hash);

CREATE TABLE room_views (
    id UUID NOT NULL,
    opportunity_id UUID,
    document_id UUID,
    guest_link_id UUID,
    visit_id UUID,
    user_id UUID,
    kind TEXT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_room_views PRIMARY KEY (id),
    CONSTRAINT ck_room_views_kind CHECK (kind IN ('room', 'document'))
);

CREATE INDEX ix_room_views_document_id ON room_views (document_id) WHERE document_id IS NOT NULL;

CREATE INDEX ix_room_views_guest_link_id ON room_views (guest_link_id, id) WHERE guest_link_id IS NOT NULL;

CREATE INDEX ix_room_views_opportunity_id ON room_views (opportunity_id, occurred_at);

-- Inspection notes: whose they are, and when to look again.

ALTER TABLE notes ADD COLUMN follow_up_on DATE, ADD COLUMN is_private BOOLEAN DEFAULT FALSE NOT NULL;

ALTER TABLE history.notes ADD COLUMN follow_up_on DATE, ADD COLUMN is_private BOOLEAN DEFAULT FALSE NOT NULL;

ALTER TABLE notes DROP CONSTRAINT ck_notes_kind;

ALTER TABLE notes ADD CONSTRAINT ck_notes_kind CHECK (kind IN ('note', 'win_loss', 'inspection')) NOT VALID;

ALTER TABLE notes VALIDATE CONSTRAINT ck_notes_kind;

CREATE INDEX ix_notes_follow_up_on ON notes (follow_up_on) WHERE deleted_at IS NULL AND follow_up_on IS NOT NULL;

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
    INSERT INTO history.notes ("id", "version", "created_at", "updated_at", "deleted_at", "created_by_id", "updated_by_id", "external_ids", "cf", "body", "kind", "opportunity_id", "account_id", "contact_id", "lead_id", "follow_up_on", "is_private", event_id, change_id, known_from)
    SELECT n."id", n."version", n."created_at", n."updated_at", n."deleted_at", n."created_by_id", n."updated_by_id", n."external_ids", n."cf", n."body", n."kind", n."opportunity_id", n."account_id", n."contact_id", n."lead_id", n."follow_up_on", n."is_private", event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$;

CREATE INDEX ix_activities_tasks ON activities (owner_id, due_at) WHERE deleted_at IS NULL AND type = 'task' AND status = 'planned';

CREATE INDEX ix_activities_meetings ON activities (occurred_at) WHERE deleted_at IS NULL AND status = 'planned' AND type IN ('meeting', 'demo', 'call');

-- What happens in rooms: looks, comments and ticks, by which side, and since when one could know it.
CREATE VIEW known.room_events AS
SELECT v.id, v.opportunity_id, v.kind || '_viewed' AS kind,
       CASE WHEN v.guest_link_id IS NULL THEN 'ours' ELSE 'theirs' END AS side,
       v.occurred_at, v.recorded_at AS known_from, greatest(v.occurred_at, v.recorded_at) AS seen_at,
       v.document_id AS record_id, v.user_id, v.guest_link_id, g.name AS guest
FROM room_views v LEFT JOIN guest_links g ON g.id = v.guest_link_id
WHERE v.opportunity_id IS NOT NULL
UNION ALL
SELECT h.id, h.opportunity_id, 'comment_added', h.side, h.created_at, h.known_from,
       greatest(h.created_at, h.known_from), h.id, h.created_by_id, h.guest_link_id, h.author_name
FROM history.comments h
WHERE h.version = 1 AND h.opportunity_id IS NOT NULL
UNION ALL
SELECT h.id, h.opportunity_id, 'plan_item_done', h.completed_side, h.completed_at, min(h.known_from),
       greatest(h.completed_at, min(h.known_from)), h.id, NULL::uuid, NULL::uuid, NULL::text
FROM history.plan_items h
WHERE h.status = 'done' AND h.completed_at IS NOT NULL
GROUP BY h.id, h.opportunity_id, h.completed_side, h.completed_at;
