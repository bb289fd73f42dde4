-- The trading tables, once for each of {schema}: paper_trading and live_trading are the same to the last column.

CREATE SCHEMA {schema};

CREATE TABLE {schema}.accounts (
    account       text PRIMARY KEY,
    venue         text        NOT NULL,
    currency      text        NOT NULL,
    starting_cash numeric     NOT NULL CHECK (starting_cash > 0),
    simulated     boolean     NOT NULL,  -- whether its market is a simulated one
    opened_at     timestamptz NOT NULL
);

CREATE TABLE {schema}.outbox (
    outbox_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     text        NOT NULL REFERENCES {schema}.accounts,
    decision_id uuid        NOT NULL UNIQUE REFERENCES research.consensus_decisions,
    queued_at   timestamptz NOT NULL,
    valid_until timestamptz NOT NULL,
    status      text        NOT NULL CHECK (status IN ('PENDING', 'CLAIMED', 'DONE', 'REFUSED', 'EXPIRED')),
    token       bigint,
    reason_code text,
    changed_at  timestamptz NOT NULL
);
CREATE INDEX outbox_waiting ON {schema}.outbox (account, outbox_id) WHERE status IN ('PENDING', 'CLAIMED');

CREATE TABLE {schema}.proposals (
    proposal_id uuid PRIMARY KEY,
    account     text        NOT NULL REFERENCES {schema}.accounts,
    decision_id uuid        NOT NULL REFERENCES research.consensus_decisions,
    symbol      text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('OPEN', 'CLOSE')),
    direction   text        NOT NULL CHECK (direction IN ('LONG', 'SHORT')),
    document    text        NOT NULL,
    proposed_at timestamptz NOT NULL
);

-- `inputs` is everything the engine looked at, so that the verdict can be computed again.
CREATE TABLE {schema}.verdicts (
    proposal_id uuid PRIMARY KEY REFERENCES {schema}.proposals,
    account     text        NOT NULL REFERENCES {schema}.accounts,
    status      text        NOT NULL CHECK (status IN ('APPROVED', 'MODIFIED', 'REJECTED')),
    reasons     jsonb       NOT NULL,
    outcome     text        NOT NULL,
    inputs      text        NOT NULL,
    decided_at  timestamptz NOT NULL
);

CREATE TABLE {schema}.intents (
    client_order_id   uuid PRIMARY KEY,
    account           text        NOT NULL REFERENCES {schema}.accounts,
    decision_id       uuid        NOT NULL REFERENCES research.consensus_decisions,
    proposal_id       uuid        NOT NULL REFERENCES {schema}.proposals,
    symbol            text        NOT NULL,
    leg               text        NOT NULL CHECK (leg IN ('ENTRY', 'EXIT', 'STOP', 'TAKE_PROFIT')),
    attempt           integer     NOT NULL CHECK (attempt > 0),
    side              text        NOT NULL CHECK (side IN ('BUY', 'SELL')),
    order_type        text        NOT NULL CHECK (order_type IN ('MARKET', 'STOP', 'TAKE_PROFIT')),
    quantity          numeric     NOT NULL CHECK (quantity > 0),
    decided_price     numeric     NOT NULL CHECK (decided_price > 0),
    trigger_price     numeric     CHECK (trigger_price > 0),
    one_cancels_other uuid,
    token             bigint      NOT NULL,
    intended_at       timestamptz NOT NULL,
    UNIQUE (account, decision_id, leg, attempt)
);

CREATE TABLE {schema}.orders (
    client_order_id uuid PRIMARY KEY REFERENCES {schema}.intents,
    account         text        NOT NULL REFERENCES {schema}.accounts,
    symbol          text        NOT NULL,
    state           text        NOT NULL CHECK (state IN ('PENDING_SUBMIT', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED',
                                'PENDING_CANCEL', 'FILLED', 'CANCELED', 'REJECTED', 'LOST')),
    venue_order_id  text,
    filled_quantity numeric     NOT NULL DEFAULT 0 CHECK (filled_quantity >= 0),
    reason_code     text        NOT NULL,
    submitted_at    timestamptz,
    changed_at      timestamptz NOT NULL
);
CREATE INDEX orders_alive ON {schema}.orders (account)
    WHERE state IN ('PENDING_SUBMIT', 'UNKNOWN', 'OPEN', 'PARTIALLY_FILLED', 'PENDING_CANCEL');

CREATE TABLE {schema}.fills (
    venue           text        NOT NULL,
    trade_id        text        NOT NULL,
    account         text        NOT NULL REFERENCES {schema}.accounts,
    client_order_id uuid        NOT NULL REFERENCES {schema}.orders,
    symbol          text        NOT NULL,
    side            text        NOT NULL CHECK (side IN ('BUY', 'SELL')),
    quantity        numeric     NOT NULL CHECK (quantity > 0),
    price           numeric     NOT NULL CHECK (price > 0),
    fee             numeric     NOT NULL,
    fee_currency    text        NOT NULL,
    filled_at       timestamptz NOT NULL,
    PRIMARY KEY (venue, trade_id)
);
CREATE INDEX fills_order ON {schema}.fills (client_order_id);
CREATE INDEX fills_account ON {schema}.fills (account, filled_at);

-- Double entry: each transaction sums to zero in each currency.
CREATE TABLE {schema}.ledger (
    account     text        NOT NULL REFERENCES {schema}.accounts,
    transaction text        NOT NULL,  -- 'deposit', or venue:trade_id
    posting     text        NOT NULL CHECK (posting IN ('holdings', 'capital', 'market', 'fees')),
    currency    text        NOT NULL,
    amount      numeric     NOT NULL,
    booked_at   timestamptz NOT NULL,
    PRIMARY KEY (account, transaction, posting, currency)
);

CREATE FUNCTION {schema}.refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM {schema}.ledger WHERE account = NEW.account AND transaction = NEW.transaction
               GROUP BY currency HAVING sum(amount) <> 0) THEN
        RAISE EXCEPTION 'ledger transaction % of account % does not balance', NEW.transaction, NEW.account;
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER balanced AFTER INSERT ON {schema}.ledger
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_unbalanced();

-- What the account holds of each currency: the sum of the ledger's holdings, kept up by the trigger below.
CREATE TABLE {schema}.balances (
    account  text    NOT NULL REFERENCES {schema}.accounts,
    currency text    NOT NULL,
    amount   numeric NOT NULL,
    PRIMARY KEY (account, currency)
);

CREATE FUNCTION {schema}.keep_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO {schema}.balances AS kept VALUES (NEW.account, NEW.currency, NEW.amount)
    ON CONFLICT (account, currency) DO UPDATE SET amount = kept.amount + NEW.amount;
    RETURN NULL;
END $$;
CREATE TRIGGER kept AFTER INSERT ON {schema}.ledger
    FOR EACH ROW WHEN (NEW.posting = 'holdings') EXECUTE FUNCTION {schema}.keep_balance();

-- One open position for each symbol; a closed one moves to trades.
CREATE TABLE {schema}.positions (
    account       text        NOT NULL REFERENCES {schema}.accounts,
    symbol        text        NOT NULL,
    decision_id   uuid        NOT NULL REFERENCES research.consensus_decisions,
    quantity      numeric     NOT NULL CHECK (quantity <> 0),
    average_entry numeric     NOT NULL CHECK (average_entry > 0),
    decided_price numeric     NOT NULL,
    stop_loss     numeric,
    take_profit   numeric,
    initial_risk  numeric,    -- (entry - initial stop) x quantity, frozen at entry
    fees          numeric     NOT NULL,
    realised      numeric     NOT NULL,  -- gross profit of partial exits
    exited        numeric     NOT NULL DEFAULT 0,  -- absolute quantity closed so far
    exit_value    numeric     NOT NULL DEFAULT 0,
    opened_at     timestamptz NOT NULL,
    PRIMARY KEY (account, symbol)
);

-- A trade is flat to flat.
CREATE TABLE {schema}.trades (
    account       text        NOT NULL REFERENCES {schema}.accounts,
    decision_id   uuid        NOT NULL REFERENCES research.consensus_decisions,
    symbol        text        NOT NULL,
    direction     text        NOT NULL CHECK (direction IN ('LONG', 'SHORT')),
    quantity      numeric     NOT NULL CHECK (quantity > 0),
    entry_price   numeric     NOT NULL,
    exit_price    numeric     NOT NULL,
    decided_price numeric     NOT NULL,
    fees          numeric     NOT NULL,
    profit        numeric     NOT NULL,  -- net of fees, in the account's currency
    initial_risk  numeric,
    r_multiple    numeric,
    exit_leg      text        NOT NULL CHECK (exit_leg IN ('EXIT', 'STOP', 'TAKE_PROFIT')),
    opened_at     timestamptz NOT NULL,
    closed_at     timestamptz NOT NULL,
    PRIMARY KEY (account, decision_id, opened_at)  -- a late part of an entry may open a second trade
);
CREATE INDEX trades_closed ON {schema}.trades (account, closed_at);

CREATE TABLE {schema}.equity (
    account         text        NOT NULL REFERENCES {schema}.accounts,
    at              timestamptz NOT NULL,
    cash            numeric     NOT NULL,
    positions_value numeric     NOT NULL,
    equity          numeric     NOT NULL,
    peak            numeric     NOT NULL,
    marks           jsonb       NOT NULL,  -- symbol -> {"quantity": text, "price": text}
    PRIMARY KEY (account, at),
    CHECK (equity = cash + positions_value)
);

-- The risk state that outlives a run: peak, day start, losses in a row, the ladder's lock.
CREATE TABLE {schema}.risk_state (
    account          text PRIMARY KEY REFERENCES {schema}.accounts,
    peak_equity      numeric     NOT NULL,
    day              date        NOT NULL,
    day_start_equity numeric     NOT NULL,
    losses_in_a_row  integer     NOT NULL,
    last_loss_risk   numeric,
    drawdown_locked  boolean     NOT NULL,
    evaluated_at     timestamptz NOT NULL
);

CREATE TABLE {schema}.trading_events (
    account       text        NOT NULL REFERENCES {schema}.accounts,
    sequence      bigint      NOT NULL,
    occurred_at   timestamptz NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text        NOT NULL,
    payload       text        NOT NULL,  -- canonical JSON, hashed byte for byte
    previous_hash text        NOT NULL,
    hash          text        NOT NULL,
    PRIMARY KEY (account, sequence)
);

CREATE INDEX trading_events_decision ON {schema}.trading_events ((payload::json ->> 'decision_id'));

-- Takes an account's books: everything that writes to them waits here for whoever has them. Three statements and not one
-- join, because a statement that has waited for a lock still sees the other tables as they were before the wait.
CREATE FUNCTION {schema}.take_books(wanted text, durable boolean, OUT venue text, OUT currency text, OUT token bigint, OUT holder text,
                                    OUT sequence bigint, OUT hash text) LANGUAGE plpgsql AS $$
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
END $$;

CREATE FUNCTION {schema}.refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % is refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP;
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.trading_events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rewriting();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.fills
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rewriting();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rewriting();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.intents
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rewriting();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.verdicts
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_rewriting();
