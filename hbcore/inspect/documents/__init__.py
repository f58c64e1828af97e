"""Verbs of `python -m hbcore.inspect` that write a document: a page, or a drawing."""
