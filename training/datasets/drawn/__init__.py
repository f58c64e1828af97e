"""Data sets that are drawn on the fly, so that training needs no download."""
