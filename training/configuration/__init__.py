"""The configuration of a run: sections read from TOML, changed by `--set`, written back beside the run.

Precedence: defaults < file < `--set section.key=value`. Reading order: schema (what a setting may hold), settings (the
settings themselves), values, toml, effects (what does nothing), resume (what may change in the middle of a run).
"""
