"""Do two commits compute the same numbers? Both run the same cases in turns; see `campaign.attest`.

`checkout` fetches the code of a commit, `driver` runs in a process of each, `side` speaks to it,
`cases` says what has to be run, `judge` compares, `campaign` does all this and records the outcome.
Nothing here imports torch but the driver.
"""
