"""R2: the hard ceilings. No file and no code that builds limits by hand passes them: the risk engine holds them too."""

from decimal import Decimal
from typing import Final

RISK_PER_TRADE: Final = Decimal("0.02")
EXPOSURE_PER_ASSET: Final = Decimal("0.30")
TOTAL_EXPOSURE: Final = Decimal("0.60")
LEVERAGE: Final = Decimal(5)
LEVERAGE_LIVE: Final = Decimal(2)
REWARD_TO_RISK: Final = Decimal("1.5")
"""The only one that is a floor."""
HEAT: Final = Decimal("0.06")
POSITION_SIZE: Final = EXPOSURE_PER_ASSET
PORTFOLIO_VOLATILITY: Final = 1.0
