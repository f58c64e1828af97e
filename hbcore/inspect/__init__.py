"""Looking into a network: `python -m hbcore.inspect`."""
