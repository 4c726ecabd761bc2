"""The command line: one file per command, each a plain function that `main` wires.

Belongs here: options (`options`), printing (`console`, `progress`) and exit codes. Does not: what
decides or computes (`runner`, `verdict`, `report`, `gate`). A command imports what it needs when it
is called, so that `hwbench --help` is quick.
"""
