"""What to label next: `python -m training.data next MODEL FOLDER`. Reading order: worth, listing."""
