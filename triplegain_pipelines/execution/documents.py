"""Proposals, verdicts and what they were judged by, as the canonical JSON that is stored and read back.

`verify` builds the objects again from these texts, so nothing the engine looks at may be missing here.
"""

from dataclasses import dataclass
from decimal import Decimal

from pydantic import TypeAdapter

from triplegain_pipelines.domain.canonical import canonical_json
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.domain.risk import Breaker, PortfolioState, Proposal
from triplegain_pipelines.settings.risk import RiskLimits


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """Everything the risk engine looked at for one verdict."""

    proposal: Proposal
    portfolio: PortfolioState
    breakers: tuple[Breaker, ...]
    limits: RiskLimits
    instrument: Instrument
    fee_rate: Decimal
    live: bool


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
