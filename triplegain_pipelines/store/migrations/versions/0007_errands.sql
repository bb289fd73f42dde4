-- Side questions: calls of a model for something that is no forecast and about no snapshot.
ALTER TABLE research.model_calls RENAME COLUMN forecast_id TO conversation_id;  -- of a forecast, its identity too
ALTER TABLE research.model_calls ALTER COLUMN snapshot_id DROP NOT NULL;
ALTER TABLE research.model_calls ADD COLUMN purpose text NOT NULL DEFAULT 'forecast';
ALTER TABLE research.model_calls ALTER COLUMN purpose DROP DEFAULT;
ALTER TABLE research.model_calls ADD CHECK ((purpose = 'forecast') = (snapshot_id IS NOT NULL));

CREATE OR REPLACE FUNCTION research.guard_model_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.status <> 'sent' OR NEW.call_id <> OLD.call_id
        OR NEW.conversation_id <> OLD.conversation_id THEN
        RAISE EXCEPTION 'call % of a model has ended as %: it is evidence and stays as it is', OLD.call_id, OLD.status;
    END IF;
    RETURN NEW;
END $$;

-- Headlines that a seat was asked about: in which conversation, and why it did not score them. The list of words did then.
ALTER TABLE research.sentiment_signals ADD COLUMN conversation_id uuid;
ALTER TABLE research.sentiment_signals ADD COLUMN fallback text;
ALTER TABLE research.sentiment_signals ADD CHECK (fallback IS NULL OR conversation_id IS NOT NULL);
