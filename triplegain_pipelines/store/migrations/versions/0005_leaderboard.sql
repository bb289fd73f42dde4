-- Evidence about forecasters: every series that was ever tried, the boards that were made, the accounts of shadow books.

-- A series is a forecaster with one model, one wording and one set of parameters. Each counts as a trial for ever, for
-- the best of many is good by luck alone: nothing is deleted or rewritten here.
CREATE TABLE research.forecast_variants (
    variant_id      uuid PRIMARY KEY,
    kind            text        NOT NULL CHECK (kind IN ('seat', 'baseline seat', 'consensus', 'shadow')),
    forecaster      text        NOT NULL,
    model           text        NOT NULL,
    template_hash   text        NOT NULL,
    parameters_hash text        NOT NULL,
    registered_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (kind, forecaster, model, template_hash, parameters_hash)
);

CREATE TABLE research.leaderboards (
    leaderboard_id uuid PRIMARY KEY,
    account        text        NOT NULL,
    starts_at      timestamptz NOT NULL,
    ends_at        timestamptz NOT NULL CHECK (ends_at > starts_at),
    trials         integer     NOT NULL CHECK (trials >= 0),
    leaders        text[]      NOT NULL,
    document       jsonb       NOT NULL,
    path           text        NOT NULL,  -- of the page, within the folder of reports
    created_at     timestamptz NOT NULL
);
CREATE INDEX leaderboards_newest ON research.leaderboards (account, created_at DESC);

-- Paper accounts that act on one forecaster alone. They are evidence about it and not accounts of a person.
CREATE TABLE research.shadow_books (
    shadow_account text PRIMARY KEY,
    account        text        NOT NULL,
    variant_id     uuid        NOT NULL REFERENCES research.forecast_variants,
    starts_at      timestamptz NOT NULL,
    UNIQUE (account, variant_id)
);

CREATE FUNCTION research.keep_evidence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% keeps its rows: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON research.forecast_variants
    FOR EACH STATEMENT EXECUTE FUNCTION research.keep_evidence();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON research.leaderboards
    FOR EACH STATEMENT EXECUTE FUNCTION research.keep_evidence();
