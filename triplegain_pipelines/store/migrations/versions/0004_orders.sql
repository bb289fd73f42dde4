-- What live trading asks of the trading tables of {schema}: transitions that cannot be written, the resolving of unknown
-- outcomes, raw answers, dust, payments in and out.

-- The table TRANSITIONS of domain/orders.py; a test compares the two.
CREATE TABLE {schema}.order_transitions (
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (from_state, to_state)
);
INSERT INTO {schema}.order_transitions VALUES
    ('PENDING_SUBMIT', 'OPEN'), ('PENDING_SUBMIT', 'PARTIALLY_FILLED'), ('PENDING_SUBMIT', 'FILLED'),
    ('PENDING_SUBMIT', 'CANCELED'), ('PENDING_SUBMIT', 'UNKNOWN'), ('PENDING_SUBMIT', 'REJECTED'),
    ('PENDING_SUBMIT', 'LOST'),
    ('UNKNOWN', 'OPEN'), ('UNKNOWN', 'PARTIALLY_FILLED'), ('UNKNOWN', 'FILLED'), ('UNKNOWN', 'CANCELED'),
    ('UNKNOWN', 'REJECTED'), ('UNKNOWN', 'LOST'),
    ('OPEN', 'PARTIALLY_FILLED'), ('OPEN', 'FILLED'), ('OPEN', 'PENDING_CANCEL'), ('OPEN', 'CANCELED'),
    ('PARTIALLY_FILLED', 'FILLED'), ('PARTIALLY_FILLED', 'PENDING_CANCEL'), ('PARTIALLY_FILLED', 'CANCELED'),
    ('PENDING_CANCEL', 'CANCELED'), ('PENDING_CANCEL', 'FILLED'), ('PENDING_CANCEL', 'PARTIALLY_FILLED'),
    ('CANCELED', 'FILLED'),
    ('LOST', 'OPEN'), ('LOST', 'PARTIALLY_FILLED'), ('LOST', 'FILLED'), ('LOST', 'CANCELED');

CREATE FUNCTION {schema}.refuse_illegal_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.filled_quantity < OLD.filled_quantity THEN
        RAISE EXCEPTION 'order % cannot go back from % filled to %', OLD.client_order_id, OLD.filled_quantity,
            NEW.filled_quantity;
    END IF;
    IF NEW.state <> OLD.state AND NOT EXISTS (
        SELECT FROM {schema}.order_transitions WHERE from_state = OLD.state AND to_state = NEW.state) THEN
        RAISE EXCEPTION 'order % cannot go from % to %', OLD.client_order_id, OLD.state, NEW.state;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER legal BEFORE UPDATE OF state, filled_quantity ON {schema}.orders
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_illegal_transition();

-- `expires_at`: a venue that has not got the order by then will not take it. `misses`: look-ups in a row that found
-- nothing, since `missed_from`; an order is given up only after enough of them beyond its expiry.
ALTER TABLE {schema}.orders
    ADD COLUMN expires_at  timestamptz,
    ADD COLUMN misses      integer NOT NULL DEFAULT 0,
    ADD COLUMN missed_from timestamptz,
    ADD COLUMN asked_at    timestamptz;
CREATE INDEX intents_entries ON {schema}.intents (account, intended_at) WHERE leg = 'ENTRY';
CREATE INDEX orders_of_venue ON {schema}.orders (venue_order_id);
-- The anomaly breaker counts them at every tick.
CREATE INDEX orders_failed ON {schema}.orders (account, changed_at) WHERE state IN ('REJECTED', 'UNKNOWN', 'LOST');

-- What a venue said, word for word.
CREATE TABLE {schema}.venue_answers (
    answer_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account         text        NOT NULL REFERENCES {schema}.accounts,
    client_order_id uuid        NOT NULL,
    answer          text        NOT NULL,
    received_at     timestamptz NOT NULL
);
CREATE INDEX venue_answers_order ON {schema}.venue_answers (client_order_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.venue_answers
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rewriting();

-- Rebalancing adds to positions and takes parts of them away.
ALTER TABLE {schema}.proposals DROP CONSTRAINT proposals_kind_check;
ALTER TABLE {schema}.proposals ADD CONSTRAINT proposals_kind_check
    CHECK (kind IN ('OPEN', 'INCREASE', 'REDUCE', 'CLOSE'));

-- What is left of a closed position and too small to be sold. The account still owns it: ledger posting 'dust'.
CREATE TABLE {schema}.dust (
    account        text        NOT NULL REFERENCES {schema}.accounts,
    symbol         text        NOT NULL,
    decision_id    uuid        NOT NULL,
    quantity       numeric     NOT NULL CHECK (quantity > 0),
    price          numeric     NOT NULL,
    written_off_at timestamptz NOT NULL,
    PRIMARY KEY (account, symbol, decision_id, written_off_at)
);
ALTER TABLE {schema}.ledger DROP CONSTRAINT ledger_posting_check;
ALTER TABLE {schema}.ledger ADD CONSTRAINT ledger_posting_check
    CHECK (posting IN ('holdings', 'capital', 'market', 'fees', 'dust'));
-- A balance is what the account owns: position and dust.
DROP TRIGGER kept ON {schema}.ledger;
CREATE TRIGGER kept AFTER INSERT ON {schema}.ledger
    FOR EACH ROW WHEN (NEW.posting IN ('holdings', 'dust')) EXECUTE FUNCTION {schema}.keep_balance();

-- Money paid in (amount > 0) or out, by a person's word. The ledger has it as transaction 'flow:flow_id'.
CREATE TABLE {schema}.flows (
    flow_id     uuid PRIMARY KEY,
    account     text        NOT NULL REFERENCES {schema}.accounts,
    currency    text        NOT NULL,
    amount      numeric     NOT NULL CHECK (amount <> 0),
    paid_at     timestamptz NOT NULL,
    recorded_by text        NOT NULL,
    why         text        NOT NULL
);

-- `day_opened_equity` and `day_flow` are money; `day_start_equity` is scaled by flows, for the loss as a fraction.
ALTER TABLE {schema}.risk_state
    ADD COLUMN day_opened_equity numeric NOT NULL DEFAULT 0,
    ADD COLUMN day_flow          numeric NOT NULL DEFAULT 0;
UPDATE {schema}.risk_state SET day_opened_equity = day_start_equity;

-- What was paid in or out since the mark before, so that returns can leave it out.
ALTER TABLE {schema}.equity ADD COLUMN external_flow numeric NOT NULL DEFAULT 0;

-- Each comparison of books and venue, with the differences and what was done about each.
CREATE TABLE {schema}.reconciliations (
    reconciliation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account           text        NOT NULL REFERENCES {schema}.accounts,
    reconciled_at     timestamptz NOT NULL,
    watermark         timestamptz NOT NULL,  -- trades of the venue are known up to here
    differences       jsonb       NOT NULL
);
CREATE INDEX reconciliations_time ON {schema}.reconciliations (account, reconciled_at);

-- The journal: an entry for each trade, made once; what a person adds are rows of their own.
CREATE TABLE {schema}.journal (
    account            text        NOT NULL,
    decision_id        uuid        NOT NULL,
    opened_at          timestamptz NOT NULL,
    closed_at          timestamptz NOT NULL,
    symbol             text        NOT NULL,
    why                text        NOT NULL,
    how                text        NOT NULL,
    profit             numeric     NOT NULL,
    r_multiple         numeric,
    best_r             float8,
    worst_r            float8,
    entry_slippage_bps float8      NOT NULL,
    exit_slippage_bps  float8,
    lessons            jsonb       NOT NULL,  -- lesson -> its numbers as text
    code_version       text        NOT NULL,
    written_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, decision_id, opened_at),
    FOREIGN KEY (account, decision_id, opened_at) REFERENCES {schema}.trades
);
CREATE TABLE {schema}.journal_notes (
    note_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     text        NOT NULL,
    decision_id uuid        NOT NULL,
    noted_at    timestamptz NOT NULL,
    noted_by    text        NOT NULL,
    note        text        NOT NULL
);
CREATE INDEX journal_notes_trade ON {schema}.journal_notes (account, decision_id);

-- As before, and with what the account may do at all.
DROP FUNCTION {schema}.take_books;
CREATE FUNCTION {schema}.take_books(wanted text, durable boolean, OUT venue text, OUT currency text, OUT token bigint,
                                    OUT holder text, OUT sequence bigint, OUT hash text, OUT mode text,
                                    OUT stopped boolean) LANGUAGE plpgsql AS $$
BEGIN
    IF NOT durable THEN
        SET LOCAL synchronous_commit = off;
    END IF;
    SELECT a.venue, a.currency INTO take_books.venue, take_books.currency
        FROM {schema}.accounts a WHERE a.account = wanted FOR NO KEY UPDATE;
    SELECT f.token, f.holder INTO take_books.token, take_books.holder
        FROM ops.fences f WHERE f.account = wanted FOR SHARE;
    SELECT e.sequence, e.hash INTO take_books.sequence, take_books.hash
        FROM {schema}.trading_events e WHERE e.account = wanted ORDER BY e.sequence DESC LIMIT 1;
    SELECT m.mode INTO take_books.mode
        FROM ops.trading_modes m WHERE m.account = wanted ORDER BY m.sequence DESC LIMIT 1;
    -- A replay trades nothing: a stop of all accounts leaves its result as it is.
    stopped := EXISTS (SELECT FROM ops.emergency_stops s
                       WHERE s.released_at IS NULL AND (s.account = wanted OR (s.account IS NULL
                           AND NOT EXISTS (SELECT FROM ops.replays r WHERE r.account = wanted))));
END $$;
