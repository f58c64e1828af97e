"""Data, codec, augmentation, metrics and command lines that train the networks of `hbcore`.

Runs from a checkout (`python -m training.pose`) and is not installed. Reading order, in which imports point back:
errors, files, labels, pictures, datasets, then loading, codecs, metrics and configuration, then prediction, tasks,
runs, command_line, then pose, face, parts, checks, data, ledger.
"""
