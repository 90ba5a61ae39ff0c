"""Runs verbs on a home in a loop, without dbt, until this process is killed.

``python -m tests.robustness.steps VERB HOME SEED``: prints ``ready`` once everything is imported,
then runs forever. The lake is unchanged, so any number of runs leaves the same files.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

from tests.robustness.support import quick_build
from warehouse.generations.publish import generations, rollback
from warehouse.home import Home, writing
from warehouse.upkeep.prune import prune_home


def publish_again(home: Home, chance: random.Random) -> None:
    quick_build(home)


def roll_back(home: Home, chance: random.Random) -> None:
    with writing(home, "rollback"):
        rollback(home, chance.choice(generations(home)))


def prune_after_builds(home: Home, chance: random.Random) -> None:
    quick_build(home)
    prune_home(home, keep=chance.choice((0, 1)))


VERBS: dict[str, Callable[[Home, random.Random], None]] = {
    f.__name__: f for f in (publish_again, roll_back, prune_after_builds)
}


def main() -> None:
    verb, home, chance = VERBS[sys.argv[1]], Home(Path(sys.argv[2])), random.Random(sys.argv[3])
    verb(home, chance)
    print("ready", flush=True)
    while True:
        verb(home, chance)


if __name__ == "__main__":
    main()
