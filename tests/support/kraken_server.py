"""An exchange on loopback that answers public REST calls like Kraken, from recorded answers, and can fail on demand."""

import json
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

# Written by hand after Kraken's documentation: only the two currencies of the recorded pair.
ASSETS = {
    "error": [],
    "result": {
        "XXBT": {"aclass": "currency", "altname": "XBT", "decimals": 10, "display_decimals": 5, "status": "enabled"},
        "USDT": {"aclass": "currency", "altname": "USDT", "decimals": 8, "display_decimals": 4, "status": "enabled"},
    },
}
_HISTORY = 720  # closed candles that Kraken gives, whatever `since` says


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one call: a status with a body, or no answer at all until the server stops."""

    status: int = 200
    body: str = ""
    hangs: bool = False

    @classmethod
    def error(cls, text: str) -> "Fault":
        """An error as Kraken reports it: status 200 and a text."""
        return cls(body=json.dumps({"error": [text]}))


@dataclass
class KrakenServer:
    """The server, started by `with`. `faults` are met by the next calls of OHLC and Ticker, one each."""

    recorded: Path
    faults: deque[Fault] = field(default_factory=deque)
    calls: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._answers = {
            "Assets": ASSETS,
            "AssetPairs": self._read("asset_pairs"),
            "OHLC": self._read("ohlc"),
            "Ticker": self._read("ticker"),
        }
        self._stopping = Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server._serve(self)

            def log_message(self, *arguments: object) -> None:
                """Keeps quiet."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def answer(self, name: str) -> Any:
        """The answer of a call, to be changed by a test."""
        return self._answers[name]

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        address = urlsplit(request.path)
        name = address.path.rsplit("/", 1)[-1]
        self.calls.append(name)
        fault = self.faults.popleft() if self.faults and name in {"OHLC", "Ticker"} else None
        if fault and fault.hangs:
            self._stopping.wait()
            return
        answer = self._answers[name]
        if name == "OHLC":
            since = int(parse_qs(address.query).get("since", ["0"])[0])
            rows = [row for row in answer["result"]["XBTUSDT"] if row[0] > since]
            answer = {"error": [], "result": {**answer["result"], "XBTUSDT": rows[-_HISTORY - 1 :]}}
        body = (fault.body if fault else json.dumps(answer)).encode()
        request.send_response(fault.status if fault else 200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _read(self, name: str) -> Any:
        return json.loads((self.recorded / f"kraken_rest_{name}.json").read_text())
