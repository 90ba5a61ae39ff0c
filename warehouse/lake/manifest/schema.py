"""The manifest's tables, by version of the home: each step takes a home one version further."""

from __future__ import annotations


def _marking(columns: str, values: str) -> str:
    """SQL that gives the month of a changed file new tokens, or one new token."""
    return (
        f"insert into months values ({values}, hex(randomblob(16)), hex(randomblob(16)))"
        f" on conflict do update set {columns};"
    )


_MONTH = "{0}.dataset, substr({0}.period, 1, 7)"
_BOTH = "shown = excluded.shown, described = excluded.described"
_UNLINKED = "insert or ignore into unlinked values ({0}.dataset, {0}.series_id, {0}.period);"
_NEW, _OLD = (
    (_marking(_BOTH, _MONTH.format(row)) + " " + _UNLINKED.format(row)) for row in ("new", "old")
)
_LAST = (  # a month without files has no row
    "delete from months where (dataset, month) = (select old.dataset, substr(old.period, 1, 7))"
    " and not exists (select 1 from files where files.dataset = old.dataset"
    " and substr(files.period, 1, 7) = substr(old.period, 1, 7) and superseded_at is null);"
)
_DESCRIBED = _marking("described = excluded.described", _MONTH.format("new"))
_SHOWN = "dataset, series_id, period, object, size_bytes, facts, superseded_at"
_TOKEN = (
    "insert into changes values ('{}', hex(randomblob(16)))"
    " on conflict do update set token = excluded.token;"
)

# Each statement ends with ";" and a newline, which do not occur inside it.
_TRIGGERS = "".join(
    f"create trigger if not exists {name} after {event} begin {body} end;\n"
    for name, event, body in (
        ("file_added", "insert on files when new.superseded_at is null", _NEW),
        ("file_removed", "delete on files when old.superseded_at is null", f"{_OLD} {_LAST}"),
        (
            "file_changed",
            f"update of {_SHOWN} on files"
            " when old.superseded_at is null or new.superseded_at is null",
            f"{_OLD} {_NEW} {_LAST}",
        ),
        ("file_described", "update of origin, origin_stamp, fetched_at on files", _DESCRIBED),
        (
            "series_changed",
            "update on series",
            "update months set shown = hex(randomblob(16)), described = hex(randomblob(16));",
        ),
        *(
            (f"{table}_{event}", f"{event} on {table}", _TOKEN.format(table))
            for table in ("quarantine", "restatements", "audits")
            for event in ("insert", "update", "delete")
        ),
    )
)

STEPS = (
    # 1: files, quarantine, restatements, runs
    """
create table home (name text primary key, value text not null) strict;
create table series (
    series_id integer primary key,
    exchange text not null, symbol text not null,
    interval text not null, clock text not null,      -- '' for raw data
    unique (exchange, symbol, interval, clock)
) strict;
create table files (
    file_id integer primary key,
    dataset text not null,
    series_id integer not null references series,
    period text not null,
    object text not null,                             -- sha256 of the bytes
    size_bytes integer not null,
    facts text not null,                              -- JSON of FileFacts
    origin text not null,                             -- where it came from, no query string
    origin_stamp text not null,                       -- mtime or ETag: is it worth asking again?
    fetched_at text not null,
    superseded_at text
) strict;
create unique index current_file on files (dataset, series_id, period)
    where superseded_at is null;
create table quarantine (
    quarantine_id integer primary key,
    dataset text not null, exchange text not null, symbol text not null,
    interval text not null, clock text not null, period text not null,
    object text not null, size_bytes integer not null,
    reason text not null, origin text not null, refused_at text not null,
    resolved_at text                                  -- a good file took its place
) strict;
create table restatements (
    restatement_id integer primary key,
    dataset text not null, series_id integer not null references series, period text not null,
    kind text not null,                               -- grown | restated
    old_object text not null, new_object text not null,
    difference text not null,                         -- JSON: rows added, removed, changed, ...
    seen_at text not null
) strict;
create table runs (
    run_id integer primary key,
    verb text not null, started_at text not null, ended_at text, outcome text
) strict;
""",
    # 2: spans that need no further request; homes of version 1 may already have the table
    """
create table if not exists settled (                  -- spans that need not be asked about again
    dataset text not null, exchange text not null, symbol text not null,
    interval text not null, clock text not null,
    start_us integer not null, end_us integer not null,
    primary key (dataset, exchange, symbol, interval, clock, start_us)
) strict, without rowid;
""",
    # 3: results of the last audit of a series' metrics, for the next catalog
    """
create table if not exists audits (
    dataset text not null, series_id integer not null references series,
    findings text not null,                           -- JSON: rows of meta.audit
    audited_at text not null,
    primary key (dataset, series_id)
) strict, without rowid;
""",
    # 4: tokens of changes, so that no build has to read all rows
    """
create table if not exists months (                   -- of each dataset that had a file in it
    dataset text not null, month text not null,
    shown text not null,                              -- random; new with each change of a file
    described text not null,                          -- and of where a file came from
    primary key (dataset, month)
) strict, without rowid;
create table if not exists changes (                  -- of whole tables: random, as above
    subject text primary key, token text not null
) strict, without rowid;
create table if not exists unlinked (                 -- files whose link is to be made or removed
    dataset text not null, series_id integer not null, period text not null,
    primary key (dataset, series_id, period)
) strict, without rowid;
create index if not exists file_of_month on files (dataset, substr(period, 1, 7))
    where superseded_at is null;
create index if not exists file_of_object on files (object);
create index if not exists open_refusal on quarantine (dataset, symbol, period)
    where resolved_at is null;
insert or ignore into months
    select distinct dataset, substr(period, 1, 7), hex(randomblob(16)), hex(randomblob(16))
    from files where superseded_at is null group by 1, 2;
insert or ignore into unlinked
    select dataset, series_id, period from files where superseded_at is null;
"""
    + _TRIGGERS,
)
# Version that this product writes; it upgrades older homes and refuses newer ones.
HOME_VERSION = len(STEPS)
