"""Bars from ticks, kept as the user declares them."""
