"""A network in whole numbers: for devices without floats, with the same results on all."""
