"""How assets are cut: by UTC day, all symbols in one partition, a range of days in one run."""

from datetime import UTC, datetime, timedelta

import dagster as dg

# end_offset=1: today has a partition, and live runs add to it.
DAYS = dg.DailyPartitionsDefinition("2013-01-01", end_offset=1)
ONE_RUN = dg.BackfillPolicy.single_run()


def utc_range(context: dg.AssetExecutionContext) -> tuple[datetime, datetime]:
    """The first moment of the run's first day and the first moment after its last day, UTC."""
    days = context.partition_key_range
    first, last = (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) for day in (days.start, days.end))
    return first, last + timedelta(days=1)


def today(context: dg.ScheduleEvaluationContext) -> str:
    """The partition of the UTC day on which a schedule ticks."""
    return context.scheduled_execution_time.astimezone(UTC).strftime("%Y-%m-%d")


class Window(dg.Config):
    """A period in UTC, ISO times with the end left out. Empty means the two weeks before now."""

    starts_at: str = ""
    ends_at: str = ""

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Beginning and end of the period."""
        end = datetime.fromisoformat(self.ends_at) if self.ends_at else now
        return (datetime.fromisoformat(self.starts_at) if self.starts_at else end - timedelta(days=14)), end
