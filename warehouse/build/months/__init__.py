"""Months: which files the lake has, what is stored of them, and jobs that compute the others."""
