-- What calls of models may cost and did cost: one row for each, committed before the call leaves. A row counts for the UTC
-- day and month of `reserved_at`: with its worst case while it is RESERVED or when its process died (LOST), else with what
-- the call cost.
CREATE TABLE ops.model_reservations (
    call_id        uuid PRIMARY KEY,
    seat           text        NOT NULL CHECK (seat <> ''),
    reserved_at    timestamptz NOT NULL,
    worst_case_usd numeric     NOT NULL CHECK (worst_case_usd >= 0 AND worst_case_usd < 'Infinity'),
    state          text        NOT NULL DEFAULT 'RESERVED' CHECK (state IN ('RESERVED', 'SETTLED', 'RELEASED', 'LOST')),
    cost_usd       numeric     CHECK (cost_usd >= 0 AND cost_usd < 'Infinity'),
    ended_at       timestamptz,
    CHECK ((state = 'RESERVED') = (cost_usd IS NULL)),
    CHECK ((state = 'RESERVED') = (ended_at IS NULL)),
    CHECK (state <> 'RELEASED' OR cost_usd = 0),
    CHECK (state <> 'LOST' OR cost_usd = worst_case_usd)
);
-- A budget is a sum over a stretch of it.
CREATE INDEX model_reservations_time ON ops.model_reservations (reserved_at)
    INCLUDE (seat, state, worst_case_usd, cost_usd);
CREATE INDEX model_reservations_open ON ops.model_reservations (reserved_at) WHERE state = 'RESERVED';

-- Nothing that was reserved is forgotten, and what a call cost is said once. A call that was given up as lost, or that was
-- thought never to have left, may still turn out to have cost something.
CREATE FUNCTION ops.keep_model_reservation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.call_id, NEW.seat, NEW.reserved_at, NEW.worst_case_usd)
           IS DISTINCT FROM (OLD.call_id, OLD.seat, OLD.reserved_at, OLD.worst_case_usd)
       OR (OLD.state, NEW.state) NOT IN (('RESERVED', 'SETTLED'), ('RESERVED', 'RELEASED'), ('RESERVED', 'LOST'),
                                         ('LOST', 'SETTLED'), ('LOST', 'RELEASED'), ('RELEASED', 'SETTLED')) THEN
        RAISE EXCEPTION 'the reservation of call % is %: it cannot be rewritten', OLD.call_id, OLD.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER kept BEFORE UPDATE ON ops.model_reservations
    FOR EACH ROW EXECUTE FUNCTION ops.keep_model_reservation();
CREATE FUNCTION ops.refuse_forgetting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% keeps its rows: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP;
END $$;
CREATE TRIGGER never_forgotten BEFORE DELETE OR TRUNCATE ON ops.model_reservations
    FOR EACH STATEMENT EXECUTE FUNCTION ops.refuse_forgetting();
