"""The command line: one file per command, each a plain function that `main` wires.

Options that commands share are in `options`, the two consoles and the exit codes in `console`. A
command imports what it needs when it is called, so that `hwbench --help` starts quickly. Decisions
and computations belong in `runner`, `verdict`, `report` and `gate`.
"""
