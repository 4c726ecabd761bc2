"""`python -m hwbench`: the command line."""

from hwbench.cli.main import main

if __name__ == "__main__":
    main()
