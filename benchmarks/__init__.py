"""The speed of the product beside what a user would do otherwise: ``python -m benchmarks``.

Each part is a module that runs the same work in several ways, alternated, every run in a process
of its own, and answers with a :class:`benchmarks.table.Part`. The product is used from outside
only: its commands, ``warehouse.open`` and the simulated market.
"""
