"""Proposals, verdicts and what they were judged by, as the canonical JSON that is stored and read back.

`verify` builds the objects again from these texts, so nothing the engine looks at may be missing here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import Breaker, MarketState, PortfolioState, Proposal, TradingMode
from triplegain_pipelines.settings.risk import RiskLimits
from triplegain_pipelines.store import market_states


def _market_text(state: MarketState | None) -> dict[str, Any] | None:
    return None if state is None else market_states.as_document(state) | {"as_of": state.as_of.isoformat()}


def _market_from(document: Mapping[str, Any] | None) -> MarketState | None:
    if document is None:
        return None
    return market_states.from_document(datetime.fromisoformat(document["as_of"]), document)


# Pairs of symbols are no keys of JSON.
_Market = Annotated[MarketState | None, PlainSerializer(_market_text), PlainValidator(_market_from)]


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """Everything the risk engine looked at for one verdict."""

    proposal: Proposal
    portfolio: PortfolioState
    breakers: tuple[Breaker, ...]
    market: _Market
    limits: RiskLimits
    instrument: Instrument
    fee_rate: Decimal
    live: bool
    mode: TradingMode


_PROPOSAL = TypeAdapter(Proposal)
_INPUTS = TypeAdapter(VerdictInputs)


def proposal_text(proposal: Proposal) -> str:
    """The proposal as canonical JSON."""
    return canonical_json(_PROPOSAL.dump_python(proposal, mode="json"))


def proposal_from(text: str) -> Proposal:
    """The proposal that `proposal_text` wrote."""
    return _PROPOSAL.validate_json(text)


def inputs_text(inputs: VerdictInputs) -> str:
    """The inputs as canonical JSON."""
    document = _INPUTS.dump_python(inputs, mode="json")
    document["portfolio"]["unresolved_symbols"].sort()
    return canonical_json(document)


def inputs_from(text: str) -> VerdictInputs:
    """The inputs that `inputs_text` wrote."""
    return _INPUTS.validate_json(text)
