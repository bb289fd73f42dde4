"""The validation report as one page that a person reads: offline, on a phone, on paper, in light and dark.

The template only places text; what it places is put into words in report_view.py and drawn in report_charts.py.
Everything that comes from a row is untrusted text and is escaped.
"""

from datetime import datetime
from pathlib import Path

from triplegain_pipelines.evaluation.files import write_atomically
from triplegain_pipelines.evaluation.pages import render_template
from triplegain_pipelines.evaluation.report_charts import drawdown_chart, equity_chart, price_chart
from triplegain_pipelines.evaluation.report_view import charted_symbols, page_context
from triplegain_pipelines.evaluation.rewording import TEMPLATE, Rewording
from triplegain_pipelines.evaluation.validation import ValidationReport

PLOTLY_FILE = "plotly.min.js"


def render_page(report: ValidationReport, generated_at: datetime, rewording: Rewording = TEMPLATE) -> str:
    """The page as HTML. It expects `plotly.min.js` in its own folder and nothing else from anywhere."""
    from markupsafe import Markup

    inputs = report.inputs
    charts = {"equity": equity_chart(inputs), "drawdown": drawdown_chart(inputs)}
    charts |= {f"price {symbol}": price_chart(inputs, symbol) for symbol in charted_symbols(inputs)}
    return render_template(
        "report.html",
        **page_context(report, generated_at, rewording),
        # plotly writes a '<' as an escape of JSON, so a chart cannot leave its script element.
        charts={name: Markup(chart) for name, chart in charts.items()},  # noqa: S704
        plotly_file=PLOTLY_FILE,
    )


def place_plotly(folder: Path) -> None:
    """Put plotly.js into `folder`, once, so that the pages there work without a network."""
    from plotly.offline import get_plotlyjs

    target = folder / PLOTLY_FILE
    if not target.exists():
        write_atomically(target, get_plotlyjs())
