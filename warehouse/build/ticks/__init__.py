"""Kept bars from ticks, as the user declares them."""
