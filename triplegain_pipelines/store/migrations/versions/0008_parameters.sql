-- Parameters were found on the candles of a venue and hold there: one set for each strategy, venue, symbol and timeframe.
DROP INDEX research.strategy_parameters_approved;
DROP INDEX research.strategy_parameters_strategy;
CREATE UNIQUE INDEX strategy_parameters_approved ON research.strategy_parameters (strategy, venue, symbol, timeframe)
    WHERE state = 'APPROVED';
CREATE INDEX strategy_parameters_strategy
    ON research.strategy_parameters (strategy, venue, symbol, timeframe, proposed_at);

-- A person may use what is not more than luck, but has to say so: then this is the verdict that was set aside, beside
-- who did it and why.
ALTER TABLE research.strategy_parameters ADD COLUMN approved_although text;
ALTER TABLE research.strategy_parameters DISABLE TRIGGER kept;
UPDATE research.strategy_parameters SET approved_although = coalesce(evidence ->> 'verdict', 'no verdict')
WHERE approved_at IS NOT NULL AND evidence ->> 'verdict' IS DISTINCT FROM 'significant';
ALTER TABLE research.strategy_parameters ENABLE TRIGGER kept;
ALTER TABLE research.strategy_parameters ADD CONSTRAINT approved_knowingly CHECK (
    CASE WHEN approved_at IS NULL OR coalesce(evidence ->> 'verdict' = 'significant', false)
         THEN approved_although IS NULL
         ELSE approved_although IS NOT DISTINCT FROM coalesce(evidence ->> 'verdict', 'no verdict') END);
