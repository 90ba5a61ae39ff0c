"""Benchmarks of the product beside alternatives: ``python -m benchmarks``.

Each part is a module that runs the same work in several ways, alternating, each run in its own
process, and returns a :class:`benchmarks.table.Part`. Only the public interface of the product is
used: its commands, ``warehouse.open`` and the simulated market.
"""
