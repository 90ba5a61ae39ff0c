"""``warehouse pull``, and publishing to the bucket by all verbs that write."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import click

from warehouse.cli.common import home_option, say
from warehouse.config import Settings
from warehouse.display import counted, render_size
from warehouse.errors import ExitCode, UsageError
from warehouse.home import Home

F = TypeVar("F", bound=Callable[..., Any])

_NESTED = "warehouse.published"


def published(writes: Callable[[dict[str, Any]], bool] = lambda _: True) -> Callable[[F], F]:
    """Publish a verb's changes to the home's bucket, if it has one.

    The verb is refused before it begins if another machine has published since the last pull.
    ``writes`` decides by the verb's options whether it changes the home.
    """

    def decorate(command: F) -> F:
        @wraps(command)
        def act(*arguments: Any, **values: Any) -> Any:
            settings: Settings = values["settings"]
            marks = click.get_current_context().find_root().meta
            if settings.store is None or marks.get(_NESTED) or not writes(values):
                return command(*arguments, **values)
            marks[_NESTED] = True
            _require_pulled(settings)
            outcome = command(*arguments, **values)
            publish_to_bucket(settings)
            return outcome

        return cast(F, act)

    return decorate


def _require_pulled(settings: Settings) -> None:
    from warehouse.bucket import Store, UnreachableError, require_pulled

    store, home = Store(str(settings.store)), Home.of(settings)
    home.require_whole()
    try:
        require_pulled(home, store)
    except UnreachableError as error:
        say(f"warning: {error.what}; the changes of this command are published later")


def publish_to_bucket(settings: Settings) -> None:
    """Push the home to its bucket, if it has anything."""
    from warehouse.bucket import Store, push_home

    home = Home.of(settings)
    if not home.manifest.is_file():
        return
    store = Store(str(settings.store))
    pushed = push_home(home, store)
    if pushed is not None:
        what = "" if pushed.generation is None else f" generation {pushed.generation},"
        sent = f"{counted(pushed.files, 'new file')}, {render_size(pushed.size_bytes)}"
        say(f"published to {store.address}:{what} {sent}")


@click.command(epilog="Example: warehouse pull")
@home_option
def pull(settings: Settings) -> int:
    """Download what the home lacks from its bucket, as is required before it can write there.

    The bucket is the `store` of the home's warehouse.toml. Vendor files that only this home has
    stay in its lake: run `warehouse build` afterwards to publish them. A home that only reads needs
    no pull, because queries fetch the files that they read.
    """
    if settings.store is None:
        raise UsageError(
            f"{settings.home}: this home has no bucket",
            next_step='write into its warehouse.toml: store = "s3://BUCKET/PREFIX"',
        )
    from warehouse.bucket import Store, pull_home

    number = pull_home(Home.of(settings), Store(settings.store))
    holds = "no generation yet" if number is None else f"generation {number}"
    say(f"{settings.home} has everything that {settings.store} has: {holds}")
    return ExitCode.DONE
