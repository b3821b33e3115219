-- Where a job stands that was paused or killed: what its handler needs to go on behind the last chunk.
ALTER TABLE jobs ADD COLUMN state JSONB;

-- What was wrong with the files of an import: every fault, where the job itself shows the first thousand.
CREATE TABLE import_faults (
    job_id UUID NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    file TEXT NOT NULL,
    line BIGINT NOT NULL,
    "column" TEXT NOT NULL,
    value TEXT NOT NULL,
    detail TEXT NOT NULL,
    CONSTRAINT pk_import_faults PRIMARY KEY (job_id, number),
    CONSTRAINT fk_import_faults_job_id FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);

-- Which row of which file a record, or a version of it, came from, with the cells that the product writes differently:
-- `sales export --as salesforce` gives the files back.
CREATE TABLE import_rows (
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    external_id TEXT NOT NULL,
    resource TEXT NOT NULL,
    record_id UUID NOT NULL,
    version INTEGER,
    line BIGINT NOT NULL,
    cells JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_import_rows PRIMARY KEY (source, file, external_id)
);
CREATE INDEX ix_import_rows_record_id ON import_rows (record_id);

-- The columns of each file, in their order.
CREATE TABLE import_files (
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    columns TEXT[] NOT NULL,
    CONSTRAINT pk_import_files PRIMARY KEY (source, file)
);

-- The versions that new records had before the one that an import stores: known from their own `updated_at`. Nobody can
-- rewrite the past with it: it takes only what lies before the first version of a record which this very event created.
CREATE FUNCTION history.keep_past(past anyarray) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    name text;
    columns text;
    told bigint := cardinality(past);
    kept bigint;
BEGIN
    IF coalesce(told, 0) = 0 THEN RETURN 0; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a past that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    SELECT c.relname INTO STRICT name
    FROM pg_type a JOIN pg_type e ON e.oid = a.typelem JOIN pg_class c ON c.oid = e.typrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.oid = pg_typeof(past)::oid AND n.nspname = 'public' AND c.relkind = 'r';
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO STRICT columns
    FROM pg_attribute WHERE attrelid = format('public.%I', name)::regclass AND attnum > 0 AND NOT attisdropped;
    EXECUTE format(
        'INSERT INTO history.%1$I (%2$s, event_id, change_id, known_from, known_to)'
        ' SELECT %3$s, h.event_id, h.change_id, p.updated_at,'
        ' lead(p.updated_at, 1, h.known_from) OVER (PARTITION BY p.id ORDER BY p.version)'
        ' FROM unnest($1) p JOIN history.%1$I h ON h.id = p.id AND h.event_id = $2 AND h.version > p.version'
        ' WHERE p.version > 0 AND p.updated_at <= h.known_from'
        ' AND NOT EXISTS (SELECT 1 FROM history.%1$I o WHERE o.id = p.id AND o.version <> h.version)',
        name, columns, 'p.' || replace(columns, ', ', ', p.')
    ) USING past, event::uuid;
    GET DIAGNOSTICS kept = ROW_COUNT;
    IF kept <> told THEN
        RAISE EXCEPTION 'a past of records that were not created just now' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN kept;
END $body$;
