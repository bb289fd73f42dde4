-- Stands in for timescaledb_toolkit on a server without it: the functions that we call, with the documented names,
-- arguments and answers. Slow, and only what the queries need.

-- candlesticks ---------------------------------------------------------------------------------

CREATE TYPE candlestick AS (
    open_time timestamptz, open float8, high_time timestamptz, high float8, low_time timestamptz, low float8,
    close_time timestamptz, close float8, volume float8, weighted float8
);

CREATE FUNCTION candlestick(
    ts timestamptz, open float8, high float8, low float8, close float8, volume float8
) RETURNS candlestick LANGUAGE sql IMMUTABLE
RETURN ROW(ts, open, ts, high, ts, low, ts, close, volume, volume * ((high + low + close) / 3))::candlestick;

-- Of equal times and prices the first one met stays, and one volume that is missing makes the volume missing.
CREATE FUNCTION double_candlestick_join(a candlestick, b candlestick) RETURNS candlestick LANGUAGE sql IMMUTABLE
RETURN CASE WHEN a IS NULL THEN b WHEN b IS NULL THEN a ELSE ROW(
    least((a).open_time, (b).open_time), CASE WHEN (b).open_time < (a).open_time THEN (b).open ELSE (a).open END,
    CASE WHEN (b).high > (a).high THEN (b).high_time ELSE (a).high_time END, greatest((a).high, (b).high),
    CASE WHEN (b).low < (a).low THEN (b).low_time ELSE (a).low_time END, least((a).low, (b).low),
    greatest((a).close_time, (b).close_time),
    CASE WHEN (b).close_time > (a).close_time THEN (b).close ELSE (a).close END,
    (a).volume + (b).volume, (a).weighted + (b).weighted
)::candlestick END;

CREATE AGGREGATE rollup(candlestick) (sfunc = double_candlestick_join, stype = candlestick);

CREATE FUNCTION open(c candlestick) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN (c).open;
CREATE FUNCTION high(c candlestick) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN (c).high;
CREATE FUNCTION low(c candlestick) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN (c).low;
CREATE FUNCTION close(c candlestick) RETURNS float8 LANGUAGE sql IMMUTABLE RETURN (c).close;

-- time weighting -------------------------------------------------------------------------------

CREATE TYPE timeweightsummary AS (
    method text, first_time timestamptz, first_val float8, last_time timestamptz, last_val float8, weighted float8
);

CREATE FUNCTION double_time_weight_step(
    state timeweightsummary, method text, ts timestamptz, value float8
) RETURNS timeweightsummary LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF method <> 'LOCF' THEN
        RAISE EXCEPTION 'the double knows LOCF only, not %', method;
    END IF;
    IF state IS NULL THEN
        RETURN ROW(method, ts, value, ts, value, 0)::timeweightsummary;
    END IF;
    IF ts < state.last_time THEN
        RAISE EXCEPTION 'the double takes values in order of time only';
    END IF;
    IF ts > state.last_time THEN
        state.weighted = state.weighted + state.last_val * (extract(epoch FROM ts - state.last_time) * 1000000)::float8;
        state.last_time = ts;
        state.last_val = value;
    END IF;
    RETURN state;
END $$;

CREATE AGGREGATE time_weight(text, timestamptz, float8) (sfunc = double_time_weight_step, stype = timeweightsummary);

CREATE FUNCTION average(t timeweightsummary) RETURNS float8 LANGUAGE sql IMMUTABLE
RETURN (t).weighted / nullif((extract(epoch FROM (t).last_time - (t).first_time) * 1000000)::float8, 0);

-- percentiles ----------------------------------------------------------------------------------

-- It keeps all values and answers with the middle of the bucket of the right one. With too few buckets the toolkit would
-- make them wider; the double refuses.
CREATE TYPE uddsketch AS (size integer, max_error float8, kept float8[]);

CREATE FUNCTION double_sketch_step(state uddsketch, size integer, max_error float8, value float8) RETURNS uddsketch
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN value IS NULL THEN state
    ELSE ROW(size, max_error, coalesce((state).kept, '{}') || value)::uddsketch END;

CREATE AGGREGATE uddsketch(integer, float8, float8) (sfunc = double_sketch_step, stype = uddsketch);

CREATE FUNCTION approx_percentile(percentile float8, sketch uddsketch) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    n integer := cardinality(sketch.kept);
    gamma float8 := (1 + sketch.max_error) / (1 - sketch.max_error);
    wanted float8;
BEGIN
    SELECT value INTO wanted FROM unnest(sketch.kept) AS value ORDER BY value
    OFFSET least(floor(n * percentile)::integer, n - 1) LIMIT 1;
    IF (SELECT count(DISTINCT ceil(ln(abs(value)) / ln(gamma))) FROM unnest(sketch.kept) AS value WHERE value <> 0)
        > sketch.size THEN
        RAISE EXCEPTION '% buckets are too few for this error', sketch.size;
    END IF;
    IF wanted IS NULL OR wanted = 0 THEN
        RETURN wanted;
    END IF;
    RETURN sign(wanted) * gamma ^ (ceil(ln(abs(wanted)) / ln(gamma)) - 1) * (1 + sketch.max_error);
END $$;

-- downsampling ---------------------------------------------------------------------------------

CREATE TYPE timevector_tstz_f64 AS (times timestamptz[], vals float8[]);
CREATE TYPE double_lttb AS (times timestamptz[], vals float8[], resolution integer);

CREATE FUNCTION double_lttb_step(
    state double_lttb, ts timestamptz, value float8, resolution integer
) RETURNS double_lttb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF resolution <= 2 THEN
        RAISE EXCEPTION 'resolution must be greater than 2';
    END IF;
    RETURN ROW(coalesce(state.times, '{}') || ts, coalesce(state.vals, '{}') || value, resolution)::double_lttb;
END $$;

CREATE FUNCTION double_lttb_end(state double_lttb) RETURNS timevector_tstz_f64 LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    x bigint[];
    y float8[];
    n integer;
    every float8;
    a integer := 0;
    kept integer[] := '{0}';
    average_x bigint;
    average_y float8;
    area float8;
    largest float8;
    best integer;
BEGIN
    IF state IS NULL THEN
        RETURN NULL;
    END IF;
    -- Numbered from 0, in microseconds from 2000 as the server counts.
    SELECT array_agg((extract(epoch FROM t - '2000-01-01 00:00:00+00') * 1000000)::bigint ORDER BY t),
        array_agg(v ORDER BY t), count(*)
    INTO x, y, n FROM unnest(state.times, state.vals) AS u (t, v);
    x := ('[0:' || n - 1 || ']=' || x::text)::bigint[];
    y := ('[0:' || n - 1 || ']=' || y::text)::float8[];
    IF state.resolution >= n THEN
        kept := ARRAY(SELECT generate_series(0, n - 1));
    ELSE
        every := (n - 2)::float8 / (state.resolution - 2)::float8;
        FOR i IN 0 .. state.resolution - 3 LOOP
            average_x := 0;
            average_y := 0;
            FOR j IN trunc((i + 1) * every)::integer + 1 .. least(trunc((i + 2) * every)::integer + 1, n) - 1 LOOP
                average_x := average_x + x[j];
                average_y := average_y + y[j];
            END LOOP;
            best := least(trunc((i + 2) * every)::integer + 1, n) - (trunc((i + 1) * every)::integer + 1);
            average_x := average_x / best;
            average_y := average_y / best;
            largest := -1;
            FOR j IN trunc(i * every)::integer + 1 .. trunc((i + 1) * every)::integer LOOP
                area := abs((x[a] - average_x)::float8 * (y[j] - y[a]) - (x[a] - x[j])::float8 * (average_y - y[a])) * 0.5;
                IF area > largest THEN
                    largest := area;
                    best := j;
                END IF;
            END LOOP;
            kept := kept || best;
            a := best;
        END LOOP;
        kept := kept || (n - 1);
    END IF;
    RETURN ROW(
        ARRAY(SELECT to_timestamp(0) + (x[k] + 946684800000000) * INTERVAL '1 microsecond' FROM unnest(kept) AS k),
        ARRAY(SELECT y[k] FROM unnest(kept) AS k)
    )::timevector_tstz_f64;
END $$;

CREATE AGGREGATE lttb(timestamptz, float8, integer) (
    sfunc = double_lttb_step, stype = double_lttb, finalfunc = double_lttb_end
);

CREATE FUNCTION unnest(series timevector_tstz_f64) RETURNS TABLE ("time" timestamptz, value float8) LANGUAGE sql IMMUTABLE
AS $$ SELECT * FROM unnest((series).times, (series).vals) $$;
