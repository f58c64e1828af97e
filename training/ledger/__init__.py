"""The ledger: every row of the paper's tables as a recipe by name, and every claim beside what is measured here.

Facts lie in TOML files: `tables/` (rows and claims, with the paper's figures as recalled) and `scales/` (how large and
how long). Code reads in this order: plan (what there is), results (what the run folders say), scales (settings of one
run), running (train what is missing), sizes, verdicts (which claims held), report and pictures (for the reader),
__main__.
"""
