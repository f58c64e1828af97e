"""Networks: from parameters to the paper's stacked hourglasses."""
