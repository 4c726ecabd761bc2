"""Results against published values and claims: a verdict for each row and each claim.

Definitions are in `docs/verdicts.md`. Seeds are the units; every interval is a central 90 % one, so
that each of its ends is a one-sided test at 5 %. Belongs here: what decides or words a verdict.
Does not: training (`runner`), layout and figures (`report`), anything that imports torch.
"""
