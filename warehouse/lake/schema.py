"""The manifest's tables, by version of the home: each step takes a home one version further."""

from __future__ import annotations

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
    # 2: what the vendor need not be asked again; homes of version 1 may have it already
    """
create table if not exists settled (                  -- spans that need not be asked about again
    dataset text not null, exchange text not null, symbol text not null,
    interval text not null, clock text not null,
    start_us integer not null, end_us integer not null,
    primary key (dataset, exchange, symbol, interval, clock, start_us)
) strict, without rowid;
""",
    # 3: what the last audit of a series' metrics found, which the next catalog shows
    """
create table if not exists audits (
    dataset text not null, series_id integer not null references series,
    findings text not null,                           -- JSON: rows of meta.audit
    audited_at text not null,
    primary key (dataset, series_id)
) strict, without rowid;
""",
)
# Version that this product writes; it upgrades older homes and refuses newer ones.
HOME_VERSION = len(STEPS)
