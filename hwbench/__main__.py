"""`hwbench` and `python -m hwbench`: the command line, from its import on."""

import signal
import sys


def main() -> None:
    """Import the command line and run it; exit 3 if its import is interrupted."""
    try:
        from hwbench.cli.main import main as run

        run()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(3)
    finally:
        # Python notes an interrupt that passes through an `exec`, as of a dataclass, and would end
        # by the signal after all; it forgets it with the next one.
        exec("")  # nosec B102
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # the exit code stands


if __name__ == "__main__":
    main()
