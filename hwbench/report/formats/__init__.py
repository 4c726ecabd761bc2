"""Formats of a report and of a comparison: each file lays out what `section` prepared.

Belongs here: layout and escaping for one medium. Does not: deciding, computing or wording.
"""
