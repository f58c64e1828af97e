"""One page per training run, with all that is known of it: `python -m training.report RUN`, or `compare RUN RUN`.

Reading order: record (what the folder says), scores (what the model reaches, and how sure that is), bits (what is
inside), figures (curves as SVG), markup (HTML), sections, writing (the page), comparison (two runs), __main__.
"""
