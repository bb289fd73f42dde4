-- When the venue was last asked about a gap.
ALTER TABLE market.candle_gaps ADD COLUMN checked_at timestamptz;

-- What a candle was before, asked of each candle of a period: by the key and not by a walk through all revisions.
CREATE INDEX candle_revisions_place ON market.candle_revisions (venue, symbol, timeframe, opened_at);

CREATE TABLE market.trades (
    venue     text        NOT NULL,
    symbol    text        NOT NULL,
    traded_at timestamptz NOT NULL,
    trade_id  text        NOT NULL,
    price     float8      NOT NULL CHECK (price > 0),
    quantity  float8      NOT NULL CHECK (quantity > 0),
    side      text        CHECK (side IN ('buy', 'sell')),  -- of the taker, where the venue says it
    source    text        NOT NULL,
    PRIMARY KEY (venue, symbol, traded_at, trade_id)
);

CREATE TABLE market.top_of_book (
    venue        text        NOT NULL,
    symbol       text        NOT NULL,
    at           timestamptz NOT NULL,
    bid          float8      NOT NULL CHECK (bid > 0),
    bid_quantity float8      NOT NULL CHECK (bid_quantity >= 0),
    ask          float8      NOT NULL CHECK (ask > bid),
    ask_quantity float8      NOT NULL CHECK (ask_quantity >= 0),
    source       text        NOT NULL,
    PRIMARY KEY (venue, symbol, at)
);

-- What was wrong with the data, by a rule. `published` holds what came where it could not be stored.
CREATE TABLE market.data_findings (
    finding_id  uuid PRIMARY KEY,
    venue       text        NOT NULL,
    symbol      text        NOT NULL,
    timeframe   text        NOT NULL,
    at          timestamptz NOT NULL,  -- opening time of the candle, or the moment
    code        text        NOT NULL,
    held        boolean     NOT NULL,  -- until it is settled no decision sees the candle
    detail      jsonb       NOT NULL,
    published   jsonb,
    source      text        NOT NULL,
    detected_at timestamptz NOT NULL,
    settled_at  timestamptz,
    settlement  text        CHECK (settlement IN ('confirmed', 'corrected', 'over')),
    CHECK ((settled_at IS NULL) = (settlement IS NULL))
);
CREATE INDEX data_findings_place ON market.data_findings (venue, symbol, timeframe, at);
CREATE INDEX data_findings_held ON market.data_findings (venue, symbol, timeframe, at) WHERE held AND settled_at IS NULL;

-- The candles that decisions may see. Spelled as a set that is not contained, which stays quick however many are held.
CREATE VIEW market.usable_candles AS
SELECT c.* FROM market.candles c
WHERE (c.venue, c.symbol, c.timeframe, c.opened_at) NOT IN (
    SELECT f.venue, f.symbol, f.timeframe, f.at FROM market.data_findings f WHERE f.held AND f.settled_at IS NULL
);

-- How far a back-fill has come: all before `reached` is stored.
CREATE TABLE market.backfills (
    venue      text        NOT NULL,
    symbol     text        NOT NULL,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    method     text        NOT NULL CHECK (method IN ('candles', 'trades')),
    reached    timestamptz NOT NULL,
    candles    bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (venue, symbol, starts_at, ends_at, method)
);

-- Which venue a market's data came from: a candle belongs to the venue that was the source when it closed.
CREATE TABLE market.source_switches (
    market     text        NOT NULL,
    sequence   integer     NOT NULL,
    from_venue text        NOT NULL,
    to_venue   text        NOT NULL,
    switched_at timestamptz NOT NULL,
    reason     text        NOT NULL,
    basis      jsonb       NOT NULL,  -- by symbol: to_venue's price over from_venue's, less one
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (market, sequence)
);

CREATE TABLE market.streams (
    endpoint        text PRIMARY KEY,  -- venue/channel
    venue           text        NOT NULL,
    connected       boolean     NOT NULL,
    changed_at      timestamptz NOT NULL,
    last_message_at timestamptz,
    reconnects      integer     NOT NULL DEFAULT 0,
    detail          text        NOT NULL DEFAULT '',
    beat_at         timestamptz NOT NULL
);

ALTER TABLE market.headlines
    ADD COLUMN link     text,
    ADD COLUMN story_id text,
    -- true where the time of publication had to stand in for the moment we first saw it: imported archives
    ADD COLUMN first_seen_assumed boolean NOT NULL DEFAULT false;
CREATE INDEX headlines_story ON market.headlines (story_id);

CREATE TABLE market.fear_greed (
    source         text        NOT NULL,
    published_at   timestamptz NOT NULL,
    score          integer     NOT NULL CHECK (score BETWEEN 0 AND 100),
    classification text        NOT NULL,
    first_seen_at  timestamptz NOT NULL,
    first_seen_assumed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (source, published_at, first_seen_at)
);

CREATE TABLE ops.alerts (
    alert_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text        NOT NULL,
    subject   text        NOT NULL,
    level     text        NOT NULL CHECK (level IN ('info', 'warning', 'critical')),
    text      text        NOT NULL,
    raised_at timestamptz NOT NULL,
    ended_at  timestamptz
);
-- One alert of a kind about a subject at a time.
CREATE UNIQUE INDEX alerts_open ON ops.alerts (kind, subject) WHERE ended_at IS NULL;
