"""Photos in files: read, and answered by `python -m hbcore landmarks`. The one room that needs Pillow."""
