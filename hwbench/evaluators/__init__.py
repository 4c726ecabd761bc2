"""The evaluators, which measure trained models, one kind per file.

Belongs here: subclasses of `Evaluator`, which return metrics with their errors. Does not: verdicts
on the numbers (`verdict`), nor models, which evaluators use only through their protocols. `points`
and `rates` are parts that several evaluators share.
"""
