-- What other ways of pooling would have made of the same six answers, and what they were made of. Append-only evidence.

-- One row a decision: the inputs, how far the seats were of one mind, and what was known of them when it was made.
-- `voters` are seat, model and template in the order of `p_up` (null: abstained) and of the rows and columns of
-- `error_correlation` (row by row; null: too few settled answers of both). `features` feed the seat-less baseline.
CREATE TABLE research.shadow_inputs (
    decision_id       uuid PRIMARY KEY REFERENCES research.consensus_decisions,
    code_version      text        NOT NULL,
    voters            text[]      NOT NULL,
    p_up              float8[]    NOT NULL CHECK (cardinality(p_up) = cardinality(voters)),
    features          float8[]    NOT NULL,
    features_version  text        NOT NULL,
    unanimous         boolean     NOT NULL,
    agreement         float8      NOT NULL CHECK (agreement BETWEEN 0 AND 1),
    disagreement      float8      NOT NULL CHECK (disagreement >= 0),
    settled           integer     NOT NULL CHECK (settled >= 0),
    effective_voters  float8      CHECK (effective_voters >= 1),
    error_correlation float8[]    NOT NULL CHECK (cardinality(error_correlation) = cardinality(voters) ^ 2),
    words             text        NOT NULL,
    recorded_at       timestamptz NOT NULL DEFAULT now()
);

-- One row a decision and method. Without a forecast (below the quorum) `p_up` and `log_odds` are null.
CREATE TABLE research.shadow_pools (
    decision_id uuid   NOT NULL REFERENCES research.shadow_inputs,
    method      text   NOT NULL CHECK (method IN ('MAJORITY', 'MEDIAN', 'CONFIDENCE_WEIGHTED',
                    'PER_MODEL_RECALIBRATED', 'LEARNED_WEIGHTS', 'HEDGE', 'BEST_SINGLE', 'BASELINE_FORECASTER')),
    p_up        float8 CHECK (p_up BETWEEN 0 AND 1),
    log_odds    float8,
    action      text   NOT NULL CHECK (action IN ('BUY', 'SELL', 'HOLD', 'CLOSE')),
    CHECK ((p_up IS NULL) = (log_odds IS NULL)),
    PRIMARY KEY (decision_id, method)
);
