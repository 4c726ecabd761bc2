"""`hwbench` and `python -m hwbench`: the command line, from its import on."""

import signal
import sys


def main() -> None:
    """Import the command line and run it; exit 3 if its import is interrupted."""
    try:
        from hwbench.cli.main import main as run
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        exec("")  # nosec B102 # see `hwbench.cli.main.main`
        sys.exit(3)
    try:
        run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the exit code stands


if __name__ == "__main__":
    main()
