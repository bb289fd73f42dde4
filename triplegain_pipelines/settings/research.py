"""`config/research.yaml`: how studies of parameters run, and what they have to show."""

from datetime import timedelta

from pydantic import Field

from triplegain_pipelines.settings.section import Section


class WalkForwardSettings(Section):
    """How a study walks through history. Days are made into bars of the study's timeframe."""

    train_days: int = Field(gt=0)
    test_days: int = Field(gt=0)
    embargo_bars: int = Field(ge=0)
    longest_holding_bars: int = Field(ge=0)
    anchored: bool


class ResearchSettings(Section):
    """Sizes of the pieces of a study, the life of forks, the walk, and what it takes to be significant."""

    batch_trials: int = Field(gt=0)
    portion_trials: int = Field(gt=0)
    fork_hours: float = Field(gt=0)
    walk_forward: WalkForwardSettings
    significance_level: float = Field(gt=0, lt=0.5)
    fewest_days: int = Field(ge=2)
    fewest_trades: int = Field(ge=1)

    @property
    def fork_life(self) -> timedelta:
        """Time to live of a fork."""
        return timedelta(hours=self.fork_hours)
