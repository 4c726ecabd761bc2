"""Where cases run: a function mapped over items."""
