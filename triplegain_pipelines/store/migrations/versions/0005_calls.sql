-- Every call of a model, each turn and each attempt: what was asked, what came back, what it cost. It is also the cache
-- that a replay answers from. A row is there before the call leaves ('sent') and is completed once when it ends; a row
-- that stays 'sent' is a call whose end nobody saw.
CREATE TABLE research.model_calls (
    call_id          uuid PRIMARY KEY,
    forecast_id      uuid        NOT NULL,  -- its forecast is stored when the conversation is over
    snapshot_id      uuid        NOT NULL REFERENCES research.snapshots,
    prompt_hash      text        NOT NULL REFERENCES research.prompts,
    template_hash    text        NOT NULL,
    seat             text        NOT NULL,
    vendor           text        NOT NULL,
    model            text        NOT NULL,
    baseline         boolean     NOT NULL,
    code_version     text        NOT NULL,
    parameters       jsonb       NOT NULL,
    turn             integer     NOT NULL CHECK (turn >= 1),     -- 1 asks, 2 asks to repair the answer
    attempt          integer     NOT NULL CHECK (attempt >= 1),  -- of the turn
    asked_at         timestamptz NOT NULL,
    status           text        NOT NULL
        CHECK (status IN ('sent', 'answered', 'refused', 'timeout', 'broken', 'withheld')),
    reason_code      text,                   -- why it gave no forecast
    retry_in_seconds float8,                 -- set where it was tried again after so long
    raw_answer       text,
    parsed           jsonb,                  -- the answer, where it was valid
    answered_by      text,                   -- the model that said it answered
    input_tokens     integer     NOT NULL,
    output_tokens    integer     NOT NULL,
    worst_case_usd   numeric     NOT NULL,
    cost_usd         numeric     NOT NULL,   -- the worst case where an end without an answer hides what it cost
    latency_ms       float8      NOT NULL,   -- the waiting before a repeated attempt included
    http_status      integer,
    error            text,
    recorded_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (forecast_id, turn, attempt),
    CHECK (status = 'answered' OR parsed IS NULL),
    CHECK (status IN ('answered', 'sent') OR reason_code IS NOT NULL)
);
CREATE INDEX model_calls_asked ON research.model_calls (asked_at);

CREATE FUNCTION research.guard_model_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status <> 'sent' OR NEW.call_id <> OLD.call_id OR NEW.forecast_id <> OLD.forecast_id THEN
        RAISE EXCEPTION 'call % of a model has ended as %: it is evidence and stays as it is', OLD.call_id, OLD.status;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER model_calls_are_evidence BEFORE UPDATE OR DELETE ON research.model_calls
    FOR EACH ROW EXECUTE FUNCTION research.guard_model_call();

-- How often the model in a seat failed in a row, and until when it is not asked.
CREATE TABLE research.seat_benches (
    seat          text        NOT NULL,
    model         text        NOT NULL,
    failures      integer     NOT NULL CHECK (failures >= 0),
    benched_until timestamptz,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (seat, model)
);
