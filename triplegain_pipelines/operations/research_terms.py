"""The terms of research, from the settings that trading has: the same costs, limits and steps."""

from triplegain_pipelines.backtest.terms import Terms
from triplegain_pipelines.domain.market import Instrument
from triplegain_pipelines.settings import Settings

_BPS = 10_000


def terms_for(settings: Settings, instrument: Instrument) -> Terms:
    """What the profile's paper venue charges and `config/risk.yaml` allows, for one instrument.

    The largest order is a sum of money, which an account meets with its first trade. The kernel knows shares of the
    equity only, so it is taken as a share of the cash that an account begins with: without it a study would trade
    several times what a backtest on the account does, and their returns could not stand on one page.
    """
    paper, risk = settings.profile.paper, settings.risk
    largest_order = risk.money.max_order_size / paper.starting_cash
    return Terms(
        starting_equity=float(paper.starting_cash),
        fee=float(paper.fee_bps / _BPS),
        slippage=float(paper.slippage_bps / _BPS),
        fill_rate=paper.fill_rate,
        seed=paper.seed,
        risk_per_trade=float(risk.risk_per_trade),
        max_position=float(min(risk.money.max_position_size, risk.exposure_per_asset, largest_order)),
        reward_to_risk=float(risk.sizing.reward_to_risk),
        price_step=float(instrument.price_step),
        quantity_step=float(instrument.quantity_step),
        minimum_quantity=float(instrument.minimum_quantity),
        minimum_cost=float(instrument.minimum_cost),
        short_selling=risk.short_selling,
    )
