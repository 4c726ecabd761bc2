"""The data sets, one kind per file.

Belongs here: subclasses of `Dataset`, and `checksums.yaml`, which declares the files that they
read. Does not: models, rules, anything that learns. `files` finds, fetches and verifies files;
`images` presents pixels.
"""
