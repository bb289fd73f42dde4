"""Peers that are imported beside our own packages, from the environment that `peers.txt` is for."""

import argparse
import os
import subprocess
import sys

_WHERE = "import sysconfig; print(sysconfig.get_path('purelib'))"


def find_peers() -> None:
    """Let this process import what only the peers' environment has; what both have stays ours.

    The environment is that of the interpreter which `--peers` or TRIPLEGAIN_PEERS names; without one there is none.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--peers", default=os.environ.get("TRIPLEGAIN_PEERS"), help="interpreter of the peers")
    interpreter = parser.parse_args().peers
    if interpreter:
        found = subprocess.run([interpreter, "-c", _WHERE], check=True, capture_output=True, text=True)  # noqa: S603
        sys.path.append(found.stdout.strip())
