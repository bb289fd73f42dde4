"""`config/<profile>.yaml`: the account, its market and how it is traded."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from triplegain_pipelines.domain.market import split_symbol
from triplegain_pipelines.settings.section import Section

SIMULATED_VENUE = "simulated"


class DecisionSettings(Section):
    """When decisions are made and how long they may be acted on."""

    interval_minutes: int = Field(ge=5, le=1440)
    grace_seconds: int = Field(ge=0, le=60)
    valid_minutes: int = Field(ge=1, le=60)

    @property
    def interval(self) -> timedelta:
        """Time between two decisions."""
        return timedelta(minutes=self.interval_minutes)

    @property
    def grace(self) -> timedelta:
        """How long after its close a candle may still be revised."""
        return timedelta(seconds=self.grace_seconds)

    @property
    def validity(self) -> timedelta:
        """How long a decision may be acted on."""
        return timedelta(minutes=self.valid_minutes)


class PaperSettings(Section):
    """How the paper venue fills. Basis points; `fill_rate` is the share of orders filled in one piece."""

    starting_cash: Decimal = Field(gt=0)
    slippage_bps: Decimal = Field(ge=0, le=1000)
    fee_bps: Decimal = Field(ge=0, le=1000)
    fill_rate: float = Field(gt=0, le=1)
    seed: int


class LiveSettings(Section):
    """How a live account trades. A profile with this section trades real money once it is armed (X7).

    `fee_bps` is the venue's taker fee. A request is refused by the venue `expiry_seconds` after its sending. Where a
    venue has only stop-limit orders, the limit lies `stop_limit_bps` beyond the trigger. An arming ends after
    `arming_hours`, and needs a validation that passed at most `validation_days` ago, of the account `validated_by`.
    """

    fee_bps: Decimal = Field(ge=0, le=1000)
    expiry_seconds: int = Field(ge=3, le=60)
    stop_limit_bps: Decimal = Field(gt=0, le=1000)
    arming_hours: int = Field(ge=1, le=24)
    validation_days: int = Field(ge=1, le=30)
    validated_by: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    reconcile_minutes: int = Field(ge=1, le=15)


class RebalancingSettings(Section):
    """What share of the equity each symbol is to have. What the weights leave is cash; other symbols are left alone.

    A symbol is traded only where its share differs from its weight by more than `band`, a fraction of the equity.
    """

    weights: Mapping[str, Annotated[Decimal, Field(ge=0, le=1)]] = Field(min_length=1)
    band: Decimal = Field(ge=0, lt=1)

    @field_validator("weights")
    @classmethod
    def _no_more_than_there_is(cls, weights: Mapping[str, Decimal]) -> Mapping[str, Decimal]:
        total = sum(weights.values(), Decimal(0))
        if total > 1:
            msg = f"the weights sum to {total}, and there is no more than 1 to share out"
            raise ValueError(msg)
        return weights


class SimulatorSettings(Section):
    """The simulated market: a pure function of seed and time, from `starts_on` on."""

    seed: int
    starts_on: date


class DemoSettings(Section):
    """What `make demo` replays: the symbols, and the UTC days, both included."""

    symbols: tuple[str, ...] = Field(min_length=1)
    first_day: date
    last_day: date


class Profile(Section):
    """One way to run the pipeline: `config/<name>.yaml`."""

    account: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")
    venue: str
    backup_venue: str | None = None
    symbols: tuple[str, ...] = Field(min_length=1)
    decisions: DecisionSettings
    paper: PaperSettings
    live: LiveSettings | None = None
    simulator: SimulatorSettings | None = None
    demo: DemoSettings | None = None
    rebalancing: RebalancingSettings | None = None

    @field_validator("symbols")
    @classmethod
    def _one_quote_currency_in_dollars(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        quote = quote_currency(symbols)
        if "USD" not in quote:
            msg = (
                "the limits of risk.yaml are in US dollars (MAX_ORDER_SIZE_USD and others), but the symbols are paid "
                f"in {quote}; trade them against USD, USDT or USDC"
            )
            raise ValueError(msg)
        return symbols

    @model_validator(mode="after")
    def _simulated_venue_has_a_simulator(self) -> Self:
        if (self.venue == SIMULATED_VENUE) != (self.simulator is not None):
            msg = f"the section 'simulator' belongs to the venue {SIMULATED_VENUE!r} and to no other"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _nothing_live_on_a_simulated_market(self) -> Self:
        if self.live is not None and self.venue == SIMULATED_VENUE:
            msg = f"the section 'live' needs a real venue, not {SIMULATED_VENUE!r}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _weights_of_what_is_traded(self) -> Self:
        others = sorted(set(self.rebalancing.weights) - set(self.symbols)) if self.rebalancing else []
        if others:
            msg = f"'rebalancing' gives a weight to {', '.join(others)}, which the profile does not trade"
            raise ValueError(msg)
        return self

    @property
    def currency(self) -> str:
        """The currency of the account: what all symbols are paid in."""
        return quote_currency(self.symbols)


def quote_currency(symbols: tuple[str, ...]) -> str:
    """The one currency that all `symbols` are paid in.

    Raises:
        ValueError: they are paid in several, so one account cannot hold them.
    """
    quotes = sorted({split_symbol(symbol)[1] for symbol in symbols})
    if len(quotes) != 1:
        msg = f"one account needs one quote currency, but the symbols are paid in {', '.join(quotes)}"
        raise ValueError(msg)
    return quotes[0]
