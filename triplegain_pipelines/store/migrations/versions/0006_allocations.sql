-- How much of an account each strategy was given, and why: one row a change, each with the one before it in mind.
CREATE TABLE research.strategy_allocations (
    account      text        NOT NULL,
    as_of        timestamptz NOT NULL,
    regime       text,
    weights      jsonb       NOT NULL,
    active       jsonb       NOT NULL,
    switched     text[]      NOT NULL,
    turnover     float8      NOT NULL CHECK (turnover >= 0),
    explanation  text[]      NOT NULL,
    allocated_at timestamptz NOT NULL,
    PRIMARY KEY (account, as_of)
);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON research.strategy_allocations
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
