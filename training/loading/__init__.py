"""From data sets to arrays: concatenation, batches, prefetching, test sets."""
