"""Which processes `triplegain up` runs, and with which commands."""

import sys
from pathlib import Path

import yaml

from triplegain_pipelines.services.supervisor import Part
from triplegain_pipelines.settings import Settings
from triplegain_pipelines.settings.profile import SIMULATED_VENUE
from triplegain_pipelines.store.server import DatabaseUrls, with_driver

_DEFINITIONS = "triplegain_pipelines.definitions"


def service_parts(settings: Settings, urls: DatabaseUrls) -> list[Part]:
    """MLflow, the pages of reports, the code server, Dagster's webserver and daemon over it, guardian and streams.

    Writes the workspace file that points the two at it.
    """
    programs = Path(sys.executable).parent
    socket = settings.home / "code.sock"
    socket.unlink(missing_ok=True)
    workspace = settings.home / "workspace.yaml"
    over = ("--workspace", str(workspace))
    server = {"host": "localhost", "socket": str(socket), "location_name": "triplegain"}
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    parts = [
        Part(
            name="mlflow",
            command=(str(programs / "mlflow"), "server", "--workers", "1", *_listen(settings.environment.mlflow_port)),
            port=settings.environment.mlflow_port,
            health_path="/health",
            secrets={"MLFLOW_BACKEND_STORE_URI": with_driver(urls.mlflow)},
        ),
        Part(
            name="reports",
            command=(
                str(programs / "uvicorn"),
                "--factory",
                "triplegain_pipelines.services.report_pages:application",
                "--log-level",
                "warning",
                *_listen(settings.environment.reports_port),
            ),
            port=settings.environment.reports_port,
            health_path="/health",
        ),
        Part(
            name="code",
            command=(str(programs / "dagster"), "api", "grpc", "--module-name", _DEFINITIONS, "--socket", str(socket)),
            socket=socket,
        ),
        Part(
            name="webserver",
            command=(str(programs / "dagster-webserver"), *over, *_listen(settings.environment.webserver_port)),
            port=settings.environment.webserver_port,
            health_path="/server_info",
            after=("code",),
        ),
        Part(
            name="daemon",
            command=(str(programs / "dagster-daemon"), "run", *over),
            after=("code",),
        ),
    ]
    parts.append(Part(name="guardian", command=(str(programs / "triplegain"), "guardian"), restarts=True))
    if settings.profile.venue != SIMULATED_VENUE:
        parts.append(Part(name="stream", command=(str(programs / "triplegain"), "stream"), restarts=True))
    return parts


def service_ports(settings: Settings) -> dict[str, int]:
    """Name and port of each part that listens."""
    own = settings.environment
    return {"webserver": own.webserver_port, "mlflow": own.mlflow_port, "reports": own.reports_port}


def _listen(port: int) -> tuple[str, ...]:
    return ("--host", "127.0.0.1", "--port", str(port))
