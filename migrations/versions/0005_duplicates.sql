-- Keys by which records that look alike are found. Functions of the row alone, so that an index over them is as new as
-- the row, whatever path wrote it. The cost of the three is set high, so that the index answers even where statistics are
-- old: to compute the keys of a whole table takes a minute. Names within are qualified: a dump restores its indexes with an empty search path.

CREATE OR REPLACE FUNCTION public.plain_words(said text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    -- lower case without accents; whatever is no letter and no digit becomes one space
    RETURN btrim(regexp_replace(lower(regexp_replace(normalize(said, NFKD), '[\u0300-\u036f]', '', 'g')),
        '[^[:alnum:]]+', ' ', 'g'));
END $$;

CREATE OR REPLACE FUNCTION public.company_key(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    words text := public.plain_words(name);
BEGIN
    RETURN coalesce(nullif(btrim(regexp_replace(regexp_replace(words,
        '\m(the|inc|incorporated|corp|corporation|co|company|llc|llp|ltd|limited|plc|gmbh|mbh|ag|kg|ohg|se|sa|sas|sarl|srl|spa|bv|nv|ab|as|aps|oy|oyj|pty|kk)\M',
        ' ', 'g'), ' +', ' ', 'g')), ''), words);
END $$;

CREATE OR REPLACE FUNCTION public.phone_key(phone text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    digits text := regexp_replace(phone, '[^0-9]', '', 'g');
BEGIN
    -- the last nine: with or without the country's prefix and the zero before the area
    RETURN CASE WHEN length(digits) >= 7 THEN right(digits, 9) END;
END $$;

CREATE OR REPLACE FUNCTION public.email_key(email text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN regexp_replace(lower(btrim(email)), '\+[^@]*@', '@');
END $$;

CREATE OR REPLACE FUNCTION public.domain_key(domain text, website text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN nullif(substring(regexp_replace(lower(coalesce(nullif(btrim(domain), ''), website)),
        '^\s*([a-z]+://)?(www\.)?', '') FROM '^[^/:?#\s]+'), '');
END $$;

CREATE OR REPLACE FUNCTION public.similar_keys(words text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    padded text := ' ' || words || ' ';
    initials text := regexp_replace(words, '(\S)\S* ?', '\1', 'g');
    least text[];
BEGIN
    -- the initials with each two of the three trigrams of least digest: texts that share most trigrams share one of these
    IF length(words) < 4 THEN RETURN '{}'; END IF;
    least := ARRAY(SELECT g FROM (SELECT DISTINCT substr(padded, i, 3) AS g FROM generate_series(1, length(padded) - 2) i) d
        ORDER BY md5(g) LIMIT 3);
    initials := 'g:' || left(initials, 3) || ':';
    RETURN ARRAY[initials || least[1] || least[2], initials || least[1] || least[3], initials || least[2] || least[3]];
END $$;

CREATE OR REPLACE FUNCTION public.person_key(first_name text, last_name text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    words text := public.plain_words(concat_ws(' ', first_name, last_name));
BEGIN
    IF position(' ' IN words) = 0 THEN RETURN NULL; END IF;
    RETURN array_to_string(ARRAY(SELECT unnest(string_to_array(words, ' ')) ORDER BY 1), ' ');
END $$;

CREATE OR REPLACE FUNCTION public.account_keys(name text, domain text, website text, phone text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
    company text := public.company_key(name);
BEGIN
    RETURN array_remove(ARRAY['d:' || public.domain_key(domain, website), 'p:' || public.phone_key(phone), 'n:' || company], NULL)
        || public.similar_keys(company);
END $$;

CREATE OR REPLACE FUNCTION public.contact_keys(first_name text, last_name text, email text, phone text, mobile text, account uuid)
RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
    person text := public.person_key(first_name, last_name);
BEGIN
    RETURN array_remove(ARRAY['e:' || public.email_key(email), 'p:' || public.phone_key(phone), 'p:' || public.phone_key(mobile),
        'n:' || person, 'a:' || account || public.plain_words(last_name)], NULL) || public.similar_keys(person);
END $$;

CREATE OR REPLACE FUNCTION public.lead_keys(first_name text, last_name text, company text, email text, phone text, website text)
RETURNS text[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000 AS $$
DECLARE
    person text := public.person_key(first_name, last_name);
    firm text := public.company_key(company);
BEGIN
    RETURN array_remove(ARRAY['e:' || public.email_key(email), 'p:' || public.phone_key(phone), 'n:' || person,
        'a:' || firm || '|' || public.plain_words(last_name),
        CASE WHEN last_name IS NULL THEN 'c:' || firm END,
        CASE WHEN last_name IS NULL THEN 'd:' || public.domain_key(NULL, website) END], NULL)
        || public.similar_keys(coalesce(person, firm));
END $$;

CREATE TABLE IF NOT EXISTS duplicate_pairs (
    id uuid NOT NULL,
    entity text NOT NULL CONSTRAINT ck_duplicate_pairs_entity CHECK (entity IN ('accounts', 'contacts', 'leads')),
    first_id uuid NOT NULL,
    second_id uuid NOT NULL,
    score double precision NOT NULL,
    reasons jsonb NOT NULL,
    status text DEFAULT 'open' NOT NULL CONSTRAINT ck_duplicate_pairs_status CHECK (status IN ('open', 'dismissed')),
    note text,
    decided_by_id uuid,
    decided_at timestamptz,
    found_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_duplicate_pairs PRIMARY KEY (id),
    CONSTRAINT ck_duplicate_pairs_order CHECK (first_id < second_id)
);
CREATE INDEX IF NOT EXISTS ix_duplicate_pairs_score ON duplicate_pairs (status, score, id);
CREATE INDEX IF NOT EXISTS ix_duplicate_pairs_second_id ON duplicate_pairs (second_id);
CREATE UNIQUE INDEX IF NOT EXISTS uq_duplicate_pairs_records ON duplicate_pairs (entity, first_id, second_id);

-- Which record a deleted one was merged into; the column is empty, so its foreign key holds at once.

ALTER TABLE accounts ADD COLUMN IF NOT EXISTS merged_into_id uuid CONSTRAINT fk_accounts_merged_into_id REFERENCES accounts (id);
ALTER TABLE contacts ADD COLUMN IF NOT EXISTS merged_into_id uuid CONSTRAINT fk_contacts_merged_into_id REFERENCES contacts (id);
ALTER TABLE leads ADD COLUMN IF NOT EXISTS merged_into_id uuid CONSTRAINT fk_leads_merged_into_id REFERENCES leads (id);
ALTER TABLE history.accounts ADD COLUMN IF NOT EXISTS merged_into_id uuid;
ALTER TABLE history.contacts ADD COLUMN IF NOT EXISTS merged_into_id uuid;
ALTER TABLE history.leads ADD COLUMN IF NOT EXISTS merged_into_id uuid;

-- The functions that keep their history, from the columns that the tables have here and now, whatever came before.

DO $do$
DECLARE
    kept text;
    names text;
    new_values text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['accounts', 'contacts', 'leads'] LOOP
        SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum),
            string_agg(format('n.%I', attname), ', ' ORDER BY attnum) INTO names, new_values
        FROM pg_attribute WHERE attrelid = format('public.%I', kept)::regclass AND attnum > 0 AND NOT attisdropped;
        EXECUTE format($keep$CREATE OR REPLACE FUNCTION history.keep_%1$s() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $body$
DECLARE
    event text := current_setting('sales.event', TRUE);
    change text := current_setting('sales.change', TRUE);
    asserted boolean := coalesce(current_setting('sales.asserted', TRUE), '') = 'yes';
    instant timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT 1 FROM new_rows) THEN RETURN NULL; END IF;
    IF coalesce(event, '') = '' THEN
        RAISE EXCEPTION 'a change of %1$s that no event explains' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        UPDATE history.%1$s h SET known_to = CASE WHEN asserted THEN n.updated_at ELSE instant END
        FROM new_rows n WHERE h.id = n.id AND h.known_to = '9999-12-31';
    END IF;
    INSERT INTO history.%1$s (%2$s, event_id, change_id, known_from)
    SELECT %3$s, event::uuid, nullif(change, '')::uuid, CASE WHEN asserted THEN n.updated_at ELSE instant END
    FROM new_rows n;
    RETURN NULL;
END $body$$keep$, kept, names, new_values);
    END LOOP;
END $do$;

-- What bulk jobs have still to do.

CREATE TABLE IF NOT EXISTS bulk_rows (
    job_id uuid NOT NULL,
    position integer NOT NULL,
    record_id uuid NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_bulk_rows PRIMARY KEY (job_id, position),
    CONSTRAINT fk_bulk_rows_job_id FOREIGN KEY (job_id) REFERENCES jobs (id) ON DELETE CASCADE
);
