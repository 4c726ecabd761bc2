"""Runs: a plan of cases, how long they take, and each case to its stored result.

Belongs here: machine facts, locks, shared stages, costs, and the campaign, which reports to an
observer. Does not: printing (`cli`), how a model learns (`learner`, `pipeline`), verdicts
(`verdict`).
"""
