"""The learning rules and fits, one kind per file.

Belongs here: subclasses of `Rule`, surrogate losses whose gradient is a paper's update, and of
`Fit`, models fitted in one go. Does not: models, which rules use only through their protocols, nor
optimizers.
"""
