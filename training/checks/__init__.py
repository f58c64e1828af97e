"""What can be wrong with labelled pictures before anything is trained on them: `python -m training.data check`."""
