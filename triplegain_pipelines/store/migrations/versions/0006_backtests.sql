-- What was tried on history: one row for all that decides a result. The same question has the same answer, or it is an
-- error; so a row is never changed, and every backtest that was ever run can be counted.
CREATE TABLE research.backtests (
    backtest_id  uuid        PRIMARY KEY,
    strategy     text        NOT NULL,
    parameters   jsonb       NOT NULL,
    venue        text        NOT NULL,
    symbols      text[]      NOT NULL CHECK (cardinality(symbols) > 0),
    timeframe    text        NOT NULL,
    engine       text        NOT NULL CHECK (engine IN ('events', 'kernel')),
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL CHECK (ends_at > starts_at),
    bars         integer     NOT NULL CHECK (bars > 0),
    data_hash    text        NOT NULL,
    terms        jsonb       NOT NULL,
    code_version text        NOT NULL,
    trades_hash  text        NOT NULL,
    figures      jsonb       NOT NULL,
    findings     jsonb       NOT NULL,
    verdict      text        NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE INDEX ON research.backtests (strategy, created_at);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON research.backtests
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
