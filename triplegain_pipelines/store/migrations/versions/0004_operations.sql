-- Modes, the emergency stop, credentials, the arming of live trading, and what risk knows of the market.

-- The newest row of an account is in force; one without a row is ACTIVE. Rows are never changed.
CREATE TABLE ops.trading_modes (
    account    text        NOT NULL,
    sequence   integer     NOT NULL,
    mode       text        NOT NULL CHECK (mode IN ('ACTIVE', 'REDUCING', 'HALTED')),
    changed_at timestamptz NOT NULL,
    changed_by text        NOT NULL,
    reason     text        NOT NULL,  -- a reason code
    why        text        NOT NULL,
    PRIMARY KEY (account, sequence)
);

-- An emergency stop is in force until somebody releases it. No account: it stops all of them.
CREATE TABLE ops.emergency_stops (
    stop_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     text,
    flatten     boolean     NOT NULL,  -- whether positions are closed too
    raised_at   timestamptz NOT NULL,
    raised_by   text        NOT NULL,
    why         text        NOT NULL,
    released_at timestamptz,
    released_by text,
    released_why text
);
CREATE INDEX emergency_stops_open ON ops.emergency_stops (account) WHERE released_at IS NULL;

-- Keys of venues, encrypted with a key that is not in the database. `watch` keys read, `trade` keys send orders.
CREATE TABLE ops.credentials (
    credential_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    environment   text        NOT NULL CHECK (environment IN ('development', 'staging', 'production')),
    venue         text        NOT NULL,
    purpose       text        NOT NULL CHECK (purpose IN ('watch', 'trade')),
    sealed        bytea       NOT NULL,
    fingerprint   text        NOT NULL,  -- tells two keys apart without telling either
    permissions   jsonb,
    stored_at     timestamptz NOT NULL,
    stored_by     text        NOT NULL,
    checked_at    timestamptz,
    retired_at    timestamptz
);
-- One key in force for each use; a rotation retires the old one in the same transaction.
CREATE UNIQUE INDEX credentials_in_force ON ops.credentials (environment, venue, purpose) WHERE retired_at IS NULL;

CREATE TABLE ops.live_armings (
    arming_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     text        NOT NULL,
    armed_at    timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    armed_by    text        NOT NULL,
    why         text        NOT NULL,
    switches    jsonb       NOT NULL,  -- every switch as it stood
    config_hash text        NOT NULL,  -- of the settings it was armed under: under others it does not count
    disarmed_at timestamptz,
    disarmed_by text,
    disarmed_why text,
    CHECK (expires_at > armed_at AND expires_at <= armed_at + interval '24 hours')
);
CREATE INDEX live_armings_account ON ops.live_armings (account, expires_at) WHERE disarmed_at IS NULL;

-- Set where nobody forecast anything: a rebalancing, which brings the position to so much of the base currency.
ALTER TABLE research.consensus_decisions ADD COLUMN target_quantity numeric CHECK (target_quantity >= 0);

CREATE TABLE research.market_states (
    venue        text        NOT NULL,
    as_of        timestamptz NOT NULL,
    document     jsonb       NOT NULL,
    code_version text        NOT NULL,
    PRIMARY KEY (venue, as_of)
);

-- Accounts that were opened before get the new breakers, closed.
INSERT INTO ops.breakers (account, name, state, changed_at, reason)
SELECT DISTINCT b.account, new.name, 'CLOSED', now(), 'WITHIN_LIMITS'
FROM ops.breakers b, unnest(ARRAY ['all_strategies_losing', 'volatility', 'anomaly']) AS new (name)
ON CONFLICT DO NOTHING;
