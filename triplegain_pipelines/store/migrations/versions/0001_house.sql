-- The house: four schemas of evidence, the trading tables once for paper and once for live, the paper venue.

CREATE SCHEMA market;
CREATE SCHEMA research;
CREATE SCHEMA ops;
CREATE SCHEMA paper_venue;

-- market ---------------------------------------------------------------------------------------

CREATE TABLE market.candles (
    venue       text        NOT NULL,
    symbol      text        NOT NULL,
    timeframe   text        NOT NULL,
    opened_at   timestamptz NOT NULL,
    open        float8      NOT NULL,
    high        float8      NOT NULL,
    low         float8      NOT NULL,
    close       float8      NOT NULL,
    volume      float8      NOT NULL CHECK (volume >= 0),
    trades      integer     CHECK (trades >= 0),
    source      text        NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (venue, symbol, timeframe, opened_at),
    CHECK (low > 0 AND low <= least(open, close) AND high >= greatest(open, close))
);

-- What a candle was before a later delivery changed it.
CREATE TABLE market.candle_revisions (
    revision_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue         text        NOT NULL,
    symbol        text        NOT NULL,
    timeframe     text        NOT NULL,
    opened_at     timestamptz NOT NULL,
    open          float8      NOT NULL,
    high          float8      NOT NULL,
    low           float8      NOT NULL,
    close         float8      NOT NULL,
    volume        float8      NOT NULL,
    trades        integer,
    source        text        NOT NULL,
    recorded_at   timestamptz NOT NULL,
    superseded_at timestamptz NOT NULL DEFAULT now(),
    superseded_by text        NOT NULL
);

CREATE TABLE market.candle_gaps (
    venue       text        NOT NULL,
    symbol      text        NOT NULL,
    timeframe   text        NOT NULL,
    starts_at   timestamptz NOT NULL,  -- opening time of the first missing candle
    ends_at     timestamptz NOT NULL,  -- opening time of the last missing candle
    missing     integer     NOT NULL CHECK (missing > 0),
    kind        text        NOT NULL CHECK (kind IN ('missing', 'no_trades', 'outage', 'repaired')),
    detected_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (venue, symbol, timeframe, starts_at)
);

CREATE TABLE market.rollups (
    venue       text        NOT NULL,
    symbol      text        NOT NULL,
    timeframe   text        NOT NULL,
    opened_at   timestamptz NOT NULL,
    open        float8      NOT NULL,
    high        float8      NOT NULL,
    low         float8      NOT NULL,
    close       float8      NOT NULL,
    volume      float8      NOT NULL,
    minutes     integer     NOT NULL CHECK (minutes > 0),  -- how many 1m candles it was made of
    PRIMARY KEY (venue, symbol, timeframe, opened_at)
);

-- One row for each decision time and timeframe: the values at the last closed bar.
CREATE TABLE market.indicators (
    venue        text        NOT NULL,
    symbol       text        NOT NULL,
    timeframe    text        NOT NULL,
    as_of        timestamptz NOT NULL,
    code_version text        NOT NULL,
    opened_at    timestamptz NOT NULL,
    bars         integer     NOT NULL,
    data_hash    text        NOT NULL,
    readings     jsonb       NOT NULL,
    PRIMARY KEY (venue, symbol, timeframe, as_of, code_version, data_hash)
);

CREATE TABLE market.headlines (
    headline_id   text PRIMARY KEY,
    source        text        NOT NULL,
    title         text        NOT NULL,
    published_at  timestamptz,
    first_seen_at timestamptz NOT NULL
);
CREATE INDEX headlines_first_seen ON market.headlines (first_seen_at);

-- research -------------------------------------------------------------------------------------

-- The document is stored as text: it is hashed byte for byte.
CREATE TABLE research.snapshots (
    snapshot_id  uuid PRIMARY KEY,
    venue        text        NOT NULL,
    symbol       text        NOT NULL,
    as_of        timestamptz NOT NULL,
    content_hash text        NOT NULL UNIQUE,
    data_version text        NOT NULL,
    code_version text        NOT NULL,
    document     text        NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX snapshots_place ON research.snapshots (venue, symbol, as_of);

CREATE TABLE research.technical_signals (
    snapshot_id  uuid             NOT NULL REFERENCES research.snapshots,
    code_version text             NOT NULL,
    bias         text             NOT NULL CHECK (bias IN ('long', 'short', 'neutral')),
    confidence   float8           NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    reasons      jsonb            NOT NULL,
    PRIMARY KEY (snapshot_id, code_version)
);

CREATE TABLE research.regime_signals (
    snapshot_id  uuid             NOT NULL REFERENCES research.snapshots,
    code_version text             NOT NULL,
    regime       text             NOT NULL,
    confidence   float8           NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    reasons      jsonb            NOT NULL,
    PRIMARY KEY (snapshot_id, code_version)
);

CREATE TABLE research.sentiment_signals (
    snapshot_id  uuid             NOT NULL REFERENCES research.snapshots,
    code_version text             NOT NULL,
    score        float8           NOT NULL CHECK (score BETWEEN -1 AND 1),
    headlines    integer          NOT NULL,
    reasons      jsonb            NOT NULL,
    PRIMARY KEY (snapshot_id, code_version)
);

CREATE TABLE research.prompts (
    prompt_hash   text PRIMARY KEY,
    template_hash text        NOT NULL,
    system_text   text        NOT NULL,
    user_text     text        NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now()
);

-- Every call of a seat, answered or not. It is also the cache: the same call is never made twice.
CREATE TABLE research.seat_forecasts (
    forecast_id   uuid PRIMARY KEY,
    snapshot_id   uuid        NOT NULL REFERENCES research.snapshots,
    prompt_hash   text        NOT NULL REFERENCES research.prompts,
    seat          text        NOT NULL,
    vendor        text        NOT NULL,
    model         text        NOT NULL,
    baseline      boolean     NOT NULL,
    code_version  text        NOT NULL,
    parameters    jsonb       NOT NULL,
    status        text        NOT NULL CHECK (status IN ('answered', 'abstained')),
    reason_code   text,
    raw_answer    text,
    error         text,  -- what the provider or the schema said, where it failed
    turns         integer     NOT NULL,
    action        text        CHECK (action IN ('BUY', 'SELL', 'HOLD', 'CLOSE')),
    confidence    float8      CHECK (confidence BETWEEN 0 AND 1),
    p_up_4h       float8      CHECK (p_up_4h BETWEEN 0 AND 1),
    p_up_24h      float8      CHECK (p_up_24h BETWEEN 0 AND 1),
    entry         float8,
    stop_loss     float8,
    take_profit   float8,
    leverage      float8,
    reasoning     text,
    input_tokens  integer     NOT NULL,
    output_tokens integer     NOT NULL,
    cost_usd      numeric     NOT NULL,
    latency_ms    float8      NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    CHECK ((status = 'answered') = (p_up_4h IS NOT NULL)),
    CHECK ((status = 'abstained') = (reason_code IS NOT NULL))
);
CREATE INDEX seat_forecasts_snapshot ON research.seat_forecasts (snapshot_id);

-- Settled by a rule fixed in advance: entry at the first 1m open after as_of, exit at the horizon.
CREATE TABLE research.forecast_outcomes (
    venue         text        NOT NULL,
    symbol        text        NOT NULL,
    as_of         timestamptz NOT NULL,
    horizon_hours integer     NOT NULL,
    settled_at    timestamptz NOT NULL,
    entry_price   float8      NOT NULL,
    exit_price    float8      NOT NULL,
    return        float8      NOT NULL,
    went_up       boolean     NOT NULL,
    PRIMARY KEY (venue, symbol, as_of, horizon_hours)
);

CREATE TABLE research.consensus_decisions (
    decision_id     uuid PRIMARY KEY,
    account         text        NOT NULL,
    venue           text        NOT NULL,
    symbol          text        NOT NULL,
    as_of           timestamptz NOT NULL,
    valid_until     timestamptz NOT NULL,
    snapshot_id     uuid        NOT NULL REFERENCES research.snapshots,
    forecast_ids    uuid[]      NOT NULL,
    regime          text        NOT NULL,
    action          text        NOT NULL CHECK (action IN ('BUY', 'SELL', 'HOLD', 'CLOSE')),
    reason_code     text        NOT NULL,
    p_up            float8      NOT NULL CHECK (p_up BETWEEN 0 AND 1),
    confidence      float8      NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    pooled_log_odds float8      NOT NULL,
    slope           float8      NOT NULL,
    settled_count   float8      NOT NULL,
    answers         integer     NOT NULL,
    vendors         integer     NOT NULL,
    quorum_met      boolean     NOT NULL,
    unanimous       boolean     NOT NULL,
    agreement       float8      NOT NULL,
    disagreement    float8      NOT NULL,
    size_factor     numeric     NOT NULL,
    leverage        numeric     NOT NULL,
    reference_price float8,
    atr             float8,
    explanation     text        NOT NULL,
    code_version    text        NOT NULL,
    code_versions   jsonb       NOT NULL,
    recorded_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (account, symbol, as_of)
);
CREATE INDEX consensus_decisions_time ON research.consensus_decisions (account, as_of);

-- ops ------------------------------------------------------------------------------------------

CREATE TABLE ops.fences (
    account  text PRIMARY KEY,
    token    bigint      NOT NULL,
    holder   text        NOT NULL,
    taken_at timestamptz NOT NULL
);

CREATE TABLE ops.heartbeats (
    name    text        NOT NULL,
    account text        NOT NULL,
    beat_at timestamptz NOT NULL,
    PRIMARY KEY (name, account)
);

CREATE TABLE ops.breakers (
    account     text        NOT NULL,
    name        text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('CLOSED', 'OPEN', 'HALF_OPEN')),
    changed_at  timestamptz NOT NULL,
    reason      text        NOT NULL,
    trials_left integer     NOT NULL DEFAULT 0,
    sequence    integer     NOT NULL DEFAULT 0,
    PRIMARY KEY (account, name)
);

CREATE TABLE ops.breaker_changes (
    account    text        NOT NULL,
    name       text        NOT NULL,
    sequence   integer     NOT NULL,
    from_state text        NOT NULL,
    to_state   text        NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text        NOT NULL,
    reason     text        NOT NULL,
    context    jsonb       NOT NULL,
    PRIMARY KEY (account, name, sequence)
);

CREATE TABLE ops.replays (
    account      text PRIMARY KEY,
    symbols      text[]      NOT NULL,
    venue        text        NOT NULL,
    starts_at    timestamptz NOT NULL,
    ends_at      timestamptz NOT NULL,
    config_hash  text        NOT NULL,
    walked_until timestamptz,
    recorded_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ops.reports (
    report_id  uuid PRIMARY KEY,
    account    text        NOT NULL,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    verdict    text        NOT NULL,
    document   jsonb       NOT NULL,
    path       text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- paper_venue: an exchange of our own, with tables of its own, that the books are reconciled with ----

-- Unique for ever, unlike at real venues. A refused id was looked up before it arrived: because the venue has said
-- that there is no such order, it takes none under that id afterwards, and the answer stays true.
CREATE TABLE paper_venue.client_order_ids (
    client_order_id uuid PRIMARY KEY,
    refused         boolean NOT NULL
);

CREATE TABLE paper_venue.orders (
    client_order_id   uuid PRIMARY KEY REFERENCES paper_venue.client_order_ids,
    venue_order_id    text        NOT NULL UNIQUE,
    account           text        NOT NULL,
    symbol            text        NOT NULL,
    side              text        NOT NULL,
    order_type        text        NOT NULL,
    quantity          numeric     NOT NULL CHECK (quantity > 0),
    filled_quantity   numeric     NOT NULL DEFAULT 0,
    trigger_price     numeric,
    one_cancels_other uuid,
    state             text        NOT NULL,
    seed              text        NOT NULL,
    accepted_at       timestamptz NOT NULL,
    CHECK (filled_quantity BETWEEN 0 AND quantity)
);
CREATE INDEX venue_orders_open ON paper_venue.orders (account) WHERE state IN ('OPEN', 'PARTIALLY_FILLED');

CREATE TABLE paper_venue.fills (
    trade_id        text PRIMARY KEY,
    client_order_id uuid        NOT NULL REFERENCES paper_venue.orders,
    quantity        numeric     NOT NULL CHECK (quantity > 0),
    price           numeric     NOT NULL CHECK (price > 0),
    fee             numeric     NOT NULL CHECK (fee >= 0),
    fee_currency    text        NOT NULL,
    filled_at       timestamptz NOT NULL
);
CREATE INDEX venue_fills_order ON paper_venue.fills (client_order_id);
