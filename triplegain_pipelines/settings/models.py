"""`config/models.yaml`: the six seats, how they are called, what they may cost, the quorum and the consensus pool."""

from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from triplegain_pipelines.settings.section import Section


class CallMode(StrEnum):
    """Where the answers of the six models come from.

    RECORD asks and stores. REPLAY uses stored answers only: it opens no connection, and a seat without one abstains.
    """

    RECORD = "record"
    REPLAY = "replay"


class AnswerFormat(StrEnum):
    """How a provider is held to the schema: by the schema itself, by JSON alone, or by a tool that it must call.

    A tool is for providers with neither of the others: the Claude models in the seats refuse one that they must call,
    and for those of OpenAI litellm takes another way, for which it needs a library that does not come with it.
    """

    JSON_SCHEMA = "json_schema"
    JSON_OBJECT = "json_object"
    TOOL = "tool"


class Price(Section):
    """What a model costs, in USD per million tokens, as its vendor said on `as_of`."""

    input_usd: Decimal = Field(ge=0)
    output_usd: Decimal = Field(ge=0)
    as_of: date
    source: str


class SeatSettings(Section):
    """A seat: who serves it, which model sits in it, and which baseline sits in while offline.

    `answers_as` are other names under which the same model answers; a name with a date behind it is always one.
    `price` is None where nobody knows it: the seat is not called then. `knowledge_cutoff` is the last day that the
    model may know of, None where its vendor does not say: then only what it forecasts live is known to be clean.
    """

    vendor: str
    model: str
    baseline: str
    answers_as: tuple[str, ...] = ()
    answer_format: AnswerFormat
    reasoning: str | None
    deadline_seconds: float = Field(gt=0, le=300)
    max_tokens: int = Field(gt=0)
    price: Price | None
    knowledge_cutoff: date | None
    cutoff_source: str


class BudgetSettings(Section):
    """What the models may cost, in USD: all of them and each seat, by UTC day and month. At `warn_at` of it we warn."""

    day_usd: Decimal = Field(ge=0)
    month_usd: Decimal = Field(ge=0)
    seat_day_usd: Decimal = Field(ge=0)
    seat_month_usd: Decimal = Field(ge=0)
    warn_at: float = Field(default=0.8, gt=0, le=1)


class BenchSettings(Section):
    """A seat that fails `failures` times in a row is not asked for `minutes`, and then tried with one question."""

    failures: int = Field(ge=1)
    minutes: float = Field(gt=0)

    @property
    def rest(self) -> timedelta:
        """How long a benched seat is not asked."""
        return timedelta(minutes=self.minutes)


class Quorum(Section):
    """How many of the six seats, and of how many vendors, must answer."""

    answers: int = Field(ge=4, le=6)
    vendors: int = Field(ge=1, le=6)


class PoolSettings(Section):
    """The consensus pool: clipping of p, slope before `settled_needed` settled forecasts, dead band around 0.5."""

    clip: float = Field(gt=0, lt=0.5)
    prior_slope: float = Field(ge=0, le=1)
    settled_needed: int = Field(ge=1)
    dead_band: float = Field(ge=0, lt=0.5)


LEXICON = "lexicon"
TEMPLATE_WRITER = "template"


class SentimentSettings(Section):
    """Who scores headlines: `lexicon`, a list of words, or a seat. The list stands in where a seat does not answer."""

    scorer: str


class NarrativeSettings(Section):
    """Who words the sentences of reports: `template`, or a seat, whose words are shown where they keep the facts."""

    writer: str


class ModelSettings(Section):
    """`config/models.yaml`. While `offline`, baselines sit in all six seats, and `calls` says nothing."""

    offline: bool
    calls: CallMode
    budget: BudgetSettings
    bench: BenchSettings
    quorum: Quorum
    pool: PoolSettings
    seats: dict[str, SeatSettings] = Field(min_length=6, max_length=6)
    sentiment: SentimentSettings
    narratives: NarrativeSettings

    @model_validator(mode="after")
    def _named_seats_exist(self) -> Self:
        named = (
            ("sentiment.scorer", self.sentiment.scorer, LEXICON),
            ("narratives.writer", self.narratives.writer, TEMPLATE_WRITER),
        )
        for setting, seat, nobody in named:
            if seat not in {nobody, *self.seats}:
                msg = f"{setting}: there is no seat {seat!r}; write {nobody!r} or one of {', '.join(self.seats)}"
                raise ValueError(msg)
        return self
