"""Findings on a home in a bucket, and on the cache of a home that only reads."""

from __future__ import annotations

from collections.abc import Iterator

from warehouse.bucket import Store, check_bucket, repair_bucket
from warehouse.build import month_damage
from warehouse.config import Settings
from warehouse.errors import REPAIR
from warehouse.files import SHA256, sha256_of
from warehouse.generations import generations
from warehouse.home import Home, generation_path
from warehouse.upkeep.verify import About, Finding, Severity, readable

_WHERE_WRITTEN = "on the machine that writes the data, run: warehouse verify --repair"


def verify_bucket(settings: Settings, *, quick: bool = False) -> list[Finding]:
    """Damage in the bucket, and in this home's cache if it only reads.

    With ``quick`` names and sizes are compared; else every object is fetched once, and not kept.

    Raises
    ------
    NotFoundError
        The bucket holds no home.
    """
    home, store = Home.of(settings), Store(str(settings.store))
    is_reader = not home.manifest.is_file()
    step = _WHERE_WRITTEN if is_reader else REPAIR
    found = [
        Finding(Severity.DAMAGED, About.BUCKET, f"{store.address}/{one.name}", one.what, step)
        for one in check_bucket(home, store, quick=quick)
    ]
    return [*(_check_cache(home, quick=quick) if is_reader else ()), *found]


def repair_with_bucket(settings: Settings) -> list[str]:
    """Send damaged objects again, or remove damaged files from a cache."""
    home, store = Home.of(settings), Store(str(settings.store))
    if home.manifest.is_file():
        return repair_bucket(home, store, check_bucket(home, store))
    lines = []
    for finding in _check_cache(home, quick=False):
        (home.root / finding.subject).unlink(missing_ok=True)
        lines.append(f"removed {finding.subject}, which the next query fetches again")
    return lines


def _check_cache(home: Home, *, quick: bool) -> Iterator[Finding]:
    for number in generations(home):
        path = generation_path(home, number)
        what = readable(home, path, quick=quick)
        if isinstance(what, str):
            subject = str(path.relative_to(home.root))
            yield Finding(Severity.DAMAGED, About.GENERATION, subject, what, REPAIR)
    for path in sorted((*home.objects.glob("*.parquet"), *home.marts.rglob("*.parquet"))):
        is_object = SHA256.fullmatch(path.stem)
        about = About.OBJECT if is_object else About.MONTH
        damage = None if is_object else month_damage(path, quick=quick)
        if is_object and not quick and sha256_of(path) != path.stem:
            damage = "its bytes do not match the hash in its name"
        if damage is not None:
            subject = str(path.relative_to(home.root))
            yield Finding(Severity.DAMAGED, about, subject, damage, REPAIR)
