-- What a round trip cost by the rule of its day, as a share of the entry: the fees and the slippage of both sides. It is
-- written with the outcome, so that no later change of fees makes an old forecast better or worse. Null: settled before
-- costs were kept.
ALTER TABLE research.forecast_outcomes ADD COLUMN round_trip_cost float8 CHECK (round_trip_cost >= 0);

-- Files of other people's models: what they did or said, kept apart from our seats and never part of a decision.
CREATE TABLE research.recorded_files (
    digest      text PRIMARY KEY,  -- SHA-256 of the file
    name        text        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('positions', 'headline_scores')),
    rows        integer     NOT NULL CHECK (rows > 0),
    imported_at timestamptz NOT NULL
);

-- One step of a recorded portfolio: what a model bought or sold on a day, and what it held after it.
CREATE TABLE research.recorded_steps (
    digest        text        NOT NULL REFERENCES research.recorded_files,
    line          integer     NOT NULL,
    model         text        NOT NULL,
    day           date        NOT NULL,
    step          integer     NOT NULL,
    action        text        NOT NULL CHECK (action IN ('START', 'BUY', 'SELL', 'NONE')),
    symbol        text,
    amount        numeric     NOT NULL CHECK (amount >= 0),
    price         numeric     CHECK (price > 0),  -- what the cash paid or received says it was
    cash          numeric     NOT NULL CHECK (cash >= 0),
    holdings      jsonb       NOT NULL,
    overwritten   boolean     NOT NULL,  -- a later step of the file went on from before it
    PRIMARY KEY (digest, line),
    CHECK ((action IN ('BUY', 'SELL')) = (symbol IS NOT NULL AND price IS NOT NULL AND amount > 0))
);

-- A headline with the score that a model gave it.
CREATE TABLE research.recorded_scores (
    digest       text        NOT NULL REFERENCES research.recorded_files,
    line         integer     NOT NULL,
    published_at timestamptz NOT NULL,
    headline     text        NOT NULL,
    score        float8      NOT NULL CHECK (score BETWEEN -1 AND 1),
    reason       text        NOT NULL,
    PRIMARY KEY (digest, line)
);
