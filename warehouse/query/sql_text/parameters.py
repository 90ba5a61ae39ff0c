"""Arguments of a query: their types, named parameters, and values as DuckDB accepts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from warehouse.errors import QueryError, UsageError, did_you_mean
from warehouse.query.sql_text.moments import has_offset, naive_utc


def require_arguments(text: object, params: object, timeout: object, memory: object) -> None:
    """Raise UsageError if an argument has an invalid type or value."""
    if not isinstance(text, str):
        raise UsageError(f"SQL must be a string, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the SQL is not valid Unicode text ({error.reason})") from error
    if params is not None and not isinstance(params, Mapping):
        raise UsageError(
            f"parameters must have names, and a {type(params).__name__} has none",
            next_step="write $name in the SQL and name=value, or a dict",
        )
    is_number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and timeout > 0):  # type: ignore[operator]
        raise UsageError(f"timeout={timeout!r}: it must be a positive number of seconds")
    if memory is not None and not isinstance(memory, str):
        raise UsageError(f"memory={memory!r}: write it as '500MB' or '2GB'")


def may_be_moment(value: object) -> bool:
    """Whether a value, or one in a list, is a string with a moment and its UTC offset."""
    if isinstance(value, str):
        return has_offset(value)
    return isinstance(value, list) and any(map(may_be_moment, value))


def as_moments(values: Mapping[str, object], texts: frozenset[str]) -> dict[str, object]:
    """Convert strings that hold moments with a UTC offset to moments in UTC.

    The values of the names in ``texts``, in lower case, stay text.
    """
    return {
        name: value if name.lower() in texts else _as_moment(name, value)
        for name, value in values.items()
    }


def _as_moment(name: str, value: object) -> object:
    if isinstance(value, list):
        return [_as_moment(name, item) for item in value]
    if not isinstance(value, str) or not has_offset(value):
        return value
    try:
        return naive_utc(value)
    except (ValueError, OverflowError) as error:
        raise QueryError(
            f"parameter {name}: {value!r} has an offset, but is not a time in ISO 8601",
            next_step="write it as 2026-02-28T12:00:00-05:00, or pass a datetime",
        ) from error


def require_names(
    wanted: frozenset[str],
    given: Mapping[str, object],
    types: Callable[[], Mapping[str, str]] = dict,
    *,
    optional: frozenset[str] = frozenset(),
) -> None:
    """Raise an error unless all required names are given, and no others but optional ones.

    ``types`` returns the known types of required names, for the message.
    """
    missing, unknown = wanted - given.keys(), given.keys() - wanted - optional
    if not missing and not unknown:
        return
    what = [f"missing {name}" for name in sorted(missing)]
    what += [f"unknown {name}" for name in sorted(unknown)]
    guesses = "".join(did_you_mean(name, sorted(wanted | optional)) for name in sorted(unknown))
    known = types()
    accepted = ", ".join(
        f"${name} {known[name]}" if name in known else f"${name}"
        for name in sorted(wanted | optional)
    )
    raise QueryError(
        f"parameters: {', '.join(what)}; the query accepts {accepted or 'none'}{guesses}",
        **_next_steps(sorted(missing), sorted(unknown), known),
    )


def _next_steps(
    missing: Sequence[str], unknown: Sequence[str], types: Mapping[str, str]
) -> dict[str, str]:
    """The next step for Python and for the shell, with the names of the query."""
    if not missing:
        return {"next_step": f"leave out {', '.join(unknown)}, or correct the name"}
    moments = {name for name in missing if _is_moment(types.get(name, ""))}
    typed = [f"{name}={'date(2025, 9, 1)' if name in moments else '...'}" for name in missing]
    shell = [f"-p {name}={'2025-09-01' if name in moments else '...'}" for name in missing]
    return {"next_step": f"add {', '.join(typed)}", "in_shell": f"add {' '.join(shell)}"}


def _is_moment(kind: str) -> bool:
    """Whether a type of the catalog or of a named query is a date or a time."""
    return kind.lower().startswith(("date", "time"))
