"""The seat that words the sentences of reports, as `narratives.writer` in `config/models.yaml` names it."""

from collections.abc import Sequence

from triplegain_pipelines.agents.conversation import NoAnswer
from triplegain_pipelines.agents.errands import run_errands
from triplegain_pipelines.agents.rewording import Wordings, rewording_errand
from triplegain_pipelines.domain.errors import SeatBusyError
from triplegain_pipelines.domain.reasons import ReasonCode
from triplegain_pipelines.evaluation.rewording import Fact, Writer
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.models import TEMPLATE_WRITER, CallMode
from triplegain_pipelines.store.database import Database


def narrator(database: Database, settings: Settings) -> Writer | None:
    """The seat that words the sentences of reports; None where the template does, or where baselines sit in."""
    models, seat = settings.models, settings.models.narratives.writer
    if models.offline or seat == TEMPLATE_WRITER:
        return None

    def ask(groups: Sequence[Sequence[Fact]]) -> list[Sequence[str] | NoAnswer]:
        try:
            answers = _answers(database, settings, groups)
        except SeatBusyError:
            return [NoAnswer(ReasonCode.SEAT_BUSY, ReasonCode.SEAT_BUSY.meaning)] * len(groups)
        return [answer if isinstance(answer, NoAnswer) else answer.sentences for answer in answers]

    return Writer(f"{seat} ({models.seats[seat].model})", ask)


def _answers(database: Database, settings: Settings, groups: Sequence[Sequence[Fact]]) -> list[Wordings | NoAnswer]:
    """What is stored; of what is new one group first, and the others only where that was answered.

    What is asked in vain is not asked again, and counts against the seat, which has forecasts to make: a seat that is
    down, or cannot do this, fails one group in a report, and the others are there for the next report.
    """
    models, enabled = settings.models, settings.environment.llm_enabled
    errands = [
        rewording_errand(models.narratives.writer, [(fact.sentence, fact.fixed) for fact in group]) for group in groups
    ]
    stored = models.model_copy(update={"calls": CallMode.REPLAY})
    answers = run_errands(database, errands, stored, llm_enabled=enabled)
    new = [number for number, answer in enumerate(answers) if _is_new(answer)]
    if not new or models.calls is CallMode.REPLAY:
        return answers
    [first] = run_errands(database, [errands[new[0]]], models, llm_enabled=enabled)
    others = [errands[number] for number in new[1:]]
    if isinstance(first, NoAnswer):
        later: list[Wordings | NoAnswer] = [first] * len(others)
    else:
        later = run_errands(database, others, models, llm_enabled=enabled)
    for number, answer in zip(new, [first, *later], strict=True):
        answers[number] = answer
    return answers


def _is_new(answer: Wordings | NoAnswer) -> bool:
    return isinstance(answer, NoAnswer) and answer.reason is ReasonCode.SEAT_NOT_RECORDED
