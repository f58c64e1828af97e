"""Will it fit: what a network takes on a small device, before it is trained: `python -m hbcore.plan CONFIG|MODEL`."""
