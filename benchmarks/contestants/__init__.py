"""Ways to compute the features of order flow from the vendor's files, one per module.

Each is run as ``python -m benchmarks.contestants.<way> TASK`` (see :mod:`.task`) and imports only
what a user of that way would. All give the columns of :data:`.task.MEASURES` asked for, and time.
"""
