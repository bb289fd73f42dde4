-- Research that distrusts itself: data that was sealed, forks of it, studies and every trial they ever made, and the
-- parameters that were proposed, approved and retired. Nothing here is forgotten: the best of many is good by luck
-- alone, so that how many there were has to be known for ever.

-- What a trial may read and nobody may change: the bars of a series in files, or a template database without sessions.
CREATE TABLE research.sealed_data (
    data_hash  text PRIMARY KEY CHECK (data_hash ~ '^[0-9a-f]{64}$'),
    kind       text        NOT NULL CHECK (kind IN ('bars', 'database')),
    place      text        NOT NULL CHECK (place <> ''),  -- a folder within that of research, or a template's name
    size_bytes bigint      NOT NULL CHECK (size_bytes >= 0),
    sealed_at  timestamptz NOT NULL,
    removed_at timestamptz CHECK (removed_at >= sealed_at)  -- the files or the template are gone; the row stays
);

CREATE TABLE research.studies (
    study_id        uuid PRIMARY KEY,
    strategy        text        NOT NULL CHECK (strategy <> ''),
    venue           text        NOT NULL CHECK (venue <> ''),
    symbol          text        NOT NULL CHECK (symbol <> ''),
    timeframe       text        NOT NULL,
    data_hash       text        NOT NULL REFERENCES research.sealed_data,
    starts_at       timestamptz NOT NULL,
    ends_at         timestamptz NOT NULL CHECK (ends_at > starts_at),
    terms           jsonb       NOT NULL,
    method          text        NOT NULL CHECK (method IN ('grid', 'sobol', 'tpe')),
    seed            bigint      NOT NULL CHECK (seed >= 0),
    trials_per_fold integer     NOT NULL CHECK (trials_per_fold > 0),
    folds           jsonb       NOT NULL CHECK (jsonb_array_length(folds) > 0),
    code_version    text        NOT NULL,
    state           text        NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'CONCLUDED')),
    verdict         text        CHECK (verdict IN ('significant', 'not significant', 'not enough data')),
    conclusion      jsonb,
    created_at      timestamptz NOT NULL,
    concluded_at    timestamptz CHECK (concluded_at >= created_at),
    CHECK ((state = 'CONCLUDED') = (verdict IS NOT NULL)),
    CHECK ((state = 'CONCLUDED') = (conclusion IS NOT NULL)),
    CHECK ((state = 'CONCLUDED') = (concluded_at IS NOT NULL))
);
CREATE INDEX studies_market ON research.studies (strategy, venue, symbol, starts_at);

-- Each trial looks at a fork. One of bars is a reference that costs nothing; one of tables is a database of its own.
-- `holder` names the advisory lock of whoever works with it: a lock that is free belongs to a worker that is gone. A
-- fork without a trial keeps the data of a study from being removed between its batches.
CREATE TABLE research.forks (
    fork_id       uuid PRIMARY KEY,
    data_hash     text        NOT NULL REFERENCES research.sealed_data,
    study_id      uuid        NOT NULL REFERENCES research.studies,
    trial_id      uuid,
    holder        text,
    database_name text        CHECK (database_name LIKE '%\_fork\_%'),
    state         text        NOT NULL DEFAULT 'CREATED' CHECK (state IN ('CREATED', 'USED', 'DESTROYED', 'EXPIRED')),
    created_at    timestamptz NOT NULL,
    used_at       timestamptz CHECK (used_at >= created_at),
    destroyed_at  timestamptz CHECK (destroyed_at >= created_at),
    expires_at    timestamptz NOT NULL CHECK (expires_at > created_at),
    CHECK (state <> 'USED' OR used_at IS NOT NULL),
    CHECK ((state IN ('DESTROYED', 'EXPIRED')) = (destroyed_at IS NOT NULL))
);
CREATE INDEX forks_living ON research.forks (data_hash, expires_at) WHERE state IN ('CREATED', 'USED');
CREATE INDEX forks_study ON research.forks (study_id, state);

-- One set of parameters in one fold. `train` is what the choice is made from; `test` is looked at by nobody who chooses.
CREATE TABLE research.trials (
    trial_id          uuid PRIMARY KEY,
    study_id          uuid        NOT NULL REFERENCES research.studies,
    fold              integer     NOT NULL CHECK (fold >= 0),
    place             integer     NOT NULL CHECK (place >= 0),
    parameters        jsonb       NOT NULL,
    attempt           integer     NOT NULL DEFAULT 1 CHECK (attempt > 0),
    fork_id           uuid        NOT NULL REFERENCES research.forks,
    state             text        NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'DONE')),
    train             jsonb,
    train_trades_hash text,
    test              jsonb,
    test_trades_hash  text,
    begun_at          timestamptz NOT NULL,
    done_at           timestamptz CHECK (done_at >= begun_at),
    UNIQUE (study_id, fold, place),
    CHECK ((state = 'DONE') = (train IS NOT NULL)),
    CHECK ((state = 'DONE') = (done_at IS NOT NULL)),
    CHECK ((train IS NULL) = (train_trades_hash IS NULL)),
    CHECK ((test IS NULL) = (test_trades_hash IS NULL))
);

-- Parameters that a study proposed, with its evidence. Trading uses an approved set and no other.
CREATE TABLE research.strategy_parameters (
    parameters_id   uuid PRIMARY KEY,
    strategy        text        NOT NULL,
    venue           text        NOT NULL,
    symbol          text        NOT NULL,
    timeframe       text        NOT NULL,
    parameters      jsonb       NOT NULL,
    study_id        uuid        NOT NULL REFERENCES research.studies,
    evidence        jsonb       NOT NULL,
    state           text        NOT NULL DEFAULT 'PROPOSED' CHECK (state IN ('PROPOSED', 'APPROVED', 'RETIRED')),
    proposed_at     timestamptz NOT NULL,
    approved_at     timestamptz CHECK (approved_at >= proposed_at),
    approved_by     text        CHECK (approved_by <> ''),
    approved_reason text        CHECK (approved_reason <> ''),
    retired_at      timestamptz CHECK (retired_at >= proposed_at),
    retired_by      text        CHECK (retired_by <> ''),
    retired_reason  text        CHECK (retired_reason <> ''),
    CHECK (state <> 'PROPOSED' OR (approved_at IS NULL AND retired_at IS NULL)),
    CHECK (state <> 'APPROVED' OR (approved_at IS NOT NULL AND retired_at IS NULL)),
    CHECK ((state = 'RETIRED') = (retired_at IS NOT NULL)),
    CHECK (num_nulls(approved_at, approved_by, approved_reason) IN (0, 3)),
    CHECK (num_nulls(retired_at, retired_by, retired_reason) IN (0, 3))
);
CREATE UNIQUE INDEX strategy_parameters_approved ON research.strategy_parameters (strategy, symbol, timeframe)
    WHERE state = 'APPROVED';
CREATE INDEX strategy_parameters_strategy ON research.strategy_parameters (strategy, symbol, timeframe, proposed_at);

CREATE FUNCTION research.keep_trial() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'DONE' OR (NEW.trial_id, NEW.study_id, NEW.fold, NEW.place, NEW.parameters)
           IS DISTINCT FROM (OLD.trial_id, OLD.study_id, OLD.fold, OLD.place, OLD.parameters) THEN
        RAISE EXCEPTION 'trial % of study % is %: it cannot be rewritten', OLD.trial_id, OLD.study_id, OLD.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kept BEFORE UPDATE ON research.trials FOR EACH ROW EXECUTE FUNCTION research.keep_trial();

CREATE FUNCTION research.keep_study() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'CONCLUDED' OR (NEW.study_id, NEW.strategy, NEW.venue, NEW.symbol, NEW.timeframe, NEW.data_hash,
                                   NEW.terms, NEW.method, NEW.seed, NEW.folds, NEW.code_version)
           IS DISTINCT FROM (OLD.study_id, OLD.strategy, OLD.venue, OLD.symbol, OLD.timeframe, OLD.data_hash,
                             OLD.terms, OLD.method, OLD.seed, OLD.folds, OLD.code_version) THEN
        RAISE EXCEPTION 'study % is %: it cannot be rewritten', OLD.study_id, OLD.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kept BEFORE UPDATE ON research.studies FOR EACH ROW EXECUTE FUNCTION research.keep_study();

CREATE FUNCTION research.keep_fork() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.fork_id, NEW.data_hash, NEW.study_id, NEW.trial_id, NEW.database_name, NEW.created_at)
           IS DISTINCT FROM (OLD.fork_id, OLD.data_hash, OLD.study_id, OLD.trial_id, OLD.database_name, OLD.created_at)
       OR (OLD.state, NEW.state) NOT IN (('CREATED', 'CREATED'), ('CREATED', 'USED'), ('CREATED', 'DESTROYED'),
                                         ('CREATED', 'EXPIRED'), ('USED', 'DESTROYED'), ('USED', 'EXPIRED')) THEN
        RAISE EXCEPTION 'fork % is %: it cannot become %', OLD.fork_id, OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kept BEFORE UPDATE ON research.forks FOR EACH ROW EXECUTE FUNCTION research.keep_fork();

CREATE FUNCTION research.keep_parameters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.parameters_id, NEW.strategy, NEW.venue, NEW.symbol, NEW.timeframe, NEW.parameters, NEW.study_id,
        NEW.evidence, NEW.proposed_at)
           IS DISTINCT FROM (OLD.parameters_id, OLD.strategy, OLD.venue, OLD.symbol, OLD.timeframe, OLD.parameters,
                             OLD.study_id, OLD.evidence, OLD.proposed_at)
       OR (OLD.state, NEW.state) NOT IN (('PROPOSED', 'APPROVED'), ('PROPOSED', 'RETIRED'), ('APPROVED', 'RETIRED'))
    THEN
        RAISE EXCEPTION 'parameters % are %: they cannot become %', OLD.parameters_id, OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kept BEFORE UPDATE ON research.strategy_parameters
    FOR EACH ROW EXECUTE FUNCTION research.keep_parameters();

CREATE TRIGGER never_forgotten BEFORE DELETE OR TRUNCATE ON research.sealed_data
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
CREATE TRIGGER never_forgotten BEFORE DELETE OR TRUNCATE ON research.studies
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
CREATE TRIGGER never_forgotten BEFORE DELETE OR TRUNCATE ON research.forks
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
CREATE TRIGGER never_forgotten BEFORE DELETE OR TRUNCATE ON research.trials
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
CREATE TRIGGER never_forgotten BEFORE DELETE OR TRUNCATE ON research.strategy_parameters
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
