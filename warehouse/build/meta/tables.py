"""Tables of the schema ``meta``: what a row is, and the columns with their types and meanings."""

from __future__ import annotations

_SERIES = [
    ("series_id", "INTEGER", "Number of the series, the same in every generation."),
    ("exchange", "VARCHAR", "Venue."),
    ("symbol", "VARCHAR", "Instrument, Atlas symbology."),
    ("interval", "VARCHAR", "Length of a bar; NULL for raw data."),
    ("clock", "VARCHAR", "exchange or true; NULL for raw data."),
]

_DATASET_SERIES = [("dataset", "VARCHAR", "Dataset."), *_SERIES]

_FILE = [*_DATASET_SERIES, ("period", "VARCHAR", "UTC month or day.")]

META: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "datasets": (
        "One row per dataset that has a contract or a file.",
        [
            ("dataset", "VARCHAR", "Name, as in vendor.<dataset>."),
            ("title", "VARCHAR", "Display name."),
            ("category", "VARCHAR", "Family of the dataset."),
            ("description", "VARCHAR", "What a row is."),
            ("series", "BIGINT", "Series in the lake."),
            ("files", "BIGINT", "Files in the lake."),
            ("rows", "BIGINT", "Rows that vendor.<dataset> shows."),
            ("size_bytes", "BIGINT", "Bytes of these files."),
        ],
    ),
    "columns": (
        "One row per column of every vendor view.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            ("column", "VARCHAR", "Column."),
            ("type", "VARCHAR", "DuckDB type."),
            ("unit", "VARCHAR", "Unit."),
            ("description", "VARCHAR", "Meaning."),
        ],
    ),
    "series": (
        "One row per series, with the parts of its symbol.",
        [
            *_SERIES,
            ("type", "VARCHAR", "spot, perpetual, future, option."),
            ("base", "VARCHAR", "Asset that is traded."),
            ("quote", "VARCHAR", "Asset that prices are in."),
            ("margin", "VARCHAR", "Asset that settles; NULL for spot."),
            ("expiry", "DATE", "Day of delivery; NULL where there is none."),
        ],
    ),
    "files": (
        "One row per vendor file in the lake.",
        [
            ("file_id", "BIGINT", "Number of the file."),
            *_FILE,
            ("object", "VARCHAR", "sha256 of the bytes; objects/<object>.parquet."),
            ("path", "VARCHAR", "Its link below the home, if the home has links."),
            ("size_bytes", "BIGINT", "Size."),
            ("rows", "BIGINT", "Rows in the file."),
            ("rows_hidden", "BIGINT", "Rows that a daily file shows instead."),
            ("first_time", "TIMESTAMP", "Smallest time, UTC."),
            ("last_time", "TIMESTAMP", "Largest time, UTC."),
            ("owns_from", "TIMESTAMP[]", "Starts of the spans that the file owns, included."),
            ("owns_until", "TIMESTAMP[]", "Ends of these spans, excluded."),
            ("nulls", "BIGINT", "NULLs over all columns."),
            ("is_sorted", "BOOLEAN", "Whether the rows are ordered by time."),
            ("simulated", "BOOLEAN", "Whether the file is marked as simulated data."),
            ("origin", "VARCHAR", "Where it came from."),
            ("fetched_at", "TIMESTAMP", "When it was imported, UTC."),
            ("importer", "VARCHAR", "Importer that wrote it; NULL for the vendor's own file."),
            (
                "grain",
                "VARCHAR",
                "What an imported row is: trade, order (all trades of a taker order at one price), "
                "update; NULL for the vendor's own file.",
            ),
            (
                "receive_clock",
                "VARCHAR",
                "measured, or none: then local_timestamp and known_at are NULL; NULL for the "
                "vendor's own file.",
            ),
        ],
    ),
    "months": (
        "One row per dataset and month with files: what the next build need not read again.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            ("month", "VARCHAR", "UTC month."),
            (
                "shown",
                "VARCHAR",
                "Token of the manifest, which changes with every change of a file.",
            ),
            (
                "described",
                "VARCHAR",
                "The same, but it also changes if only the origin of a file changes.",
            ),
            ("is_shown", "BOOLEAN", "Whether any file owns a span of time."),
            ("columns", "VARCHAR", "Names and types of the files' columns, as JSON."),
            ("columns_shown", "VARCHAR", "The same for the files that own a span of time."),
        ],
    ),
    "sources": (
        "One row per imported file of the lake and source file from which its rows come.",
        [
            *_DATASET_SERIES,
            ("period", "VARCHAR", "UTC day."),
            ("source_file", "VARCHAR", "Path when it was imported, as in vendor.raw_*."),
            ("sha256", "VARCHAR", "Hash of its bytes."),
            ("rows", "BIGINT", "Its rows of this day."),
            ("duplicates", "BIGINT", "Its rows of this day that repeat a kept id: not shown."),
        ],
    ),
    "drift": (
        "One row per column that a file lacks or has beyond its contract.",
        [
            *_FILE,
            ("column", "VARCHAR", "Column."),
            ("kind", "VARCHAR", "missing (the view has NULL), or unexpected (the view has it)."),
        ],
    ),
    "salvaged": (
        "One row per row of a vendor file that sync --salvage left out.",
        [
            *_FILE,
            ("row_number", "BIGINT", "Place in the vendor's file; the first row is 0."),
            ("time", "TIMESTAMP", "Its time, UTC; NULL if it has none."),
            ("reason", "VARCHAR", "Why it was left out."),
            ("original", "VARCHAR", "sha256 of the vendor's file, quarantine/<original>.refused."),
        ],
    ),
    "notes": (
        "One row per unusual value of a vendor file, which is still shown.",
        [
            *_FILE,
            (
                "kind",
                "VARCHAR",
                "Kind of the unusual value, such as: price not positive, open last bar.",
            ),
            ("text", "VARCHAR", "Description of the value."),
        ],
    ),
    "coverage": (
        "One row per dataset, series and month between its first and last file.",
        [
            *_DATASET_SERIES,
            ("month", "VARCHAR", "UTC month."),
            ("files", "BIGINT", "Files of this month."),
            ("rows", "BIGINT", "Rows that the view shows."),
            ("expected_rows", "BIGINT", "Bars of the grid between the series' first and last."),
            ("first_time", "TIMESTAMP", "First bar, UTC."),
            ("last_time", "TIMESTAMP", "Last bar, UTC."),
            ("gaps", "BIGINT", "Gaps: runs of missing bars."),
            ("duplicates", "BIGINT", "Bars shown twice; always 0, because such files are refused."),
            ("nulls", "BIGINT", "NULLs over all columns of these files."),
            (
                "source",
                "VARCHAR",
                "Where the rows that vendor.* shows come from: files, or ticks for bars that are "
                "kept by [[ticks]] with marts.",
            ),
        ],
    ),
    "gaps": (
        "One row per gap: missing bars between the first and last bar of a series.",
        [
            *_DATASET_SERIES,
            ("gap_from", "TIMESTAMP", "First missing bar, UTC, included."),
            ("gap_until", "TIMESTAMP", "First bar after the gap, UTC, excluded."),
            ("bars", "BIGINT", "Missing bars."),
        ],
    ),
    "quarantine": (
        "One row per file that was refused and not replaced by a good one since.",
        [
            ("dataset", "VARCHAR", "Dataset."),
            *_SERIES[1:],
            ("period", "VARCHAR", "UTC month or day."),
            ("reason", "VARCHAR", "Why it was refused."),
            ("size_bytes", "BIGINT", "Size."),
            ("object", "VARCHAR", "sha256; quarantine/<object>.refused."),
            ("origin", "VARCHAR", "Where it came from."),
            ("refused_at", "TIMESTAMP", "When, UTC."),
        ],
    ),
    "restatements": (
        "One row per file whose bytes changed at its source.",
        [
            *_FILE,
            (
                "kind",
                "VARCHAR",
                "grown: rows were added at the end; restated: anything else. Without a changed row "
                "or column, the same values came in other bytes: order, types or compression.",
            ),
            ("rows_added", "BIGINT", "Rows that only the new version has."),
            ("rows_removed", "BIGINT", "Rows that only the old version has."),
            ("rows_changed", "BIGINT", "Rows with another value in a column of both."),
            (
                "largest_relative_change",
                'STRUCT("column" VARCHAR, change DOUBLE)[]',
                "Per changed column max |new - old| / |old|; NULL where infinite.",
            ),
            ("columns_added", "VARCHAR[]", "Columns that only the new version has."),
            ("columns_removed", "VARCHAR[]", "Columns that only the old version has."),
            ("old_object", "VARCHAR", "sha256 of the old version."),
            ("new_object", "VARCHAR", "sha256 of the new version."),
            ("seen_at", "TIMESTAMP", "When, UTC."),
        ],
    ),
    "audit": (
        "One row per column, reading and verdict of the last audit of a series' metrics.",
        [
            *_DATASET_SERIES,
            ("column", "VARCHAR", "Column; NULL where whole bars are missing."),
            ("reading", "VARCHAR", "Reading of its definition, as in ticks_<dataset>_readings."),
            ("is_best", "BOOLEAN", "Whether the column is judged by this reading."),
            (
                "verdict",
                "VARCHAR",
                "equal, equal in float32, one is missing, differs, differs in a partial bar, "
                "vendor lacks the bar, no ticks.",
            ),
            ("bars", "BIGINT", "Bars of this verdict."),
            ("time", "TIMESTAMP", "Bar that differs most, UTC."),
            ("vendor_value", "DOUBLE", "The vendor's value there."),
            ("ticks_value", "DOUBLE", "The value from ticks there."),
            ("relative_difference", "DOUBLE", "Difference relative to the larger of the two."),
            ("audited_at", "TIMESTAMP", "When, UTC."),
        ],
    ),
    "build": (
        "One row: versions, inputs and settings of the build of this catalog.",
        [
            ("generation", "BIGINT", "Number of the generation."),
            ("built_at", "TIMESTAMP", "When the build began, UTC."),
            ("product_version", "VARCHAR", "Version of this product."),
            ("duckdb_version", "VARCHAR", "Version of DuckDB that built it."),
            (
                "inputs",
                "VARCHAR",
                "Hashes of the lake, of models and settings, of own models.",
            ),
            ("home", "VARCHAR", "Folder of the home when it was built."),
            ("files", "BIGINT", "Files of the lake that it shows."),
            ("threads", "BIGINT", "Setting; NULL is DuckDB's default."),
            ("memory_limit", "VARCHAR", "Setting; NULL is DuckDB's default."),
            ("engine", "VARCHAR", "What computed the stored months: duckdb or spark."),
        ],
    ),
    "own_files": (
        "One row per file of the user's models and macros, as the build began.",
        [
            ("path", "VARCHAR", "File below the home."),
            ("sha256", "VARCHAR", "Hash of its bytes."),
        ],
    ),
    "stored": (
        "One row per month of a mart, or of a dataset of bars, that a view reads.",
        [
            ("model", "VARCHAR", "Mart, or vendor.<dataset>."),
            ("month", "VARCHAR", "UTC month of the bars' starts."),
            ("path", "VARCHAR", "File below the home."),
            ("rows", "BIGINT", "Rows."),
            ("size_bytes", "BIGINT", "Size."),
            ("reused", "BOOLEAN", "Whether an earlier build had computed it."),
            ("engine", "VARCHAR", "What computed it, with its version."),
            ("key", "VARCHAR", "Hash of its inputs, for the next build."),
        ],
    ),
    "running": (
        "One row per column of a stored mart that runs from the first bar of a series.",
        [
            ("model", "VARCHAR", "Mart."),
            ("column", "VARCHAR", "Column; stored months hold its sums from their own first bar."),
            ("first_month", "DATE", "First day of the mart's first month."),
            ("months", "INTEGER", "Months from there to the mart's last one."),
            (
                "before",
                "DOUBLE[]",
                "What the view adds: the sum before each month, of series 1 month by month, then "
                "of series 2, and so on.",
            ),
        ],
    ),
    "models": (
        "One row per model of this catalog, with the SQL that made it.",
        [
            ("schema", "VARCHAR", "Schema of the model."),
            ("name", "VARCHAR", "Model."),
            ("sql", "VARCHAR", "What dbt compiled."),
            ("checksum", "VARCHAR", "Hash of the model's file as dbt built it."),
        ],
    ),
    "tested": (
        "One row per stored month and test, for tests that can run on single months.",
        [
            ("test", "VARCHAR", "Test, as in meta.results."),
            (
                "key",
                "VARCHAR",
                "Hash of its SQL, of the other tables that it reads, and of DuckDB's version.",
            ),
            ("path", "VARCHAR", "File of the month, below the home."),
            ("failures", "BIGINT", "Rows of the month that failed the test."),
        ],
    ),
    "audited": (
        "One row per model in which the look-ahead audits of builds found no fault, or that has no"
        " rows to test (untested).",
        [
            ("schema", "VARCHAR", "Schema of the model."),
            ("name", "VARCHAR", "Model."),
            (
                "key",
                "VARCHAR",
                "Hash of everything that the verdict depends on, such as the model's SQL.",
            ),
            ("verdict", "VARCHAR", "clean, labels, in-sample or untested."),
            ("rows", "BIGINT", "Rows compared, over all audits of this SQL."),
            ("untested", "VARCHAR[]", "Columns that were NULL wherever they were compared."),
            ("empty", "VARCHAR[]", "Those of these columns that have no value in the data at all."),
            ("generation", "BIGINT", "Generation whose build audited it last."),
            ("audited_at", "TIMESTAMP", "When that was, UTC."),
        ],
    ),
    "funding_declared": (
        "One row per span of a funding schedule that the home's warehouse.toml declares.",
        [
            ("exchange", "VARCHAR", "Venue."),
            ("symbol", "VARCHAR", "Instrument, Atlas symbology."),
            ("period_hours", "INTEGER", "Hours from one payment to the next."),
            ("since", "TIMESTAMP", "Payments after this moment, UTC."),
            ("until", "TIMESTAMP", "Last moment of the span, UTC, included."),
        ],
    ),
    "results": (
        "One row per model, seed, test and audit of this catalog, and per warning about a setting"
        " or a dataset.",
        [
            ("name", "VARCHAR", "Node of the dbt project."),
            ("resource_type", "VARCHAR", "model, seed, test, audit, macro, setting or dataset."),
            ("package", "VARCHAR", "dbt project that it belongs to."),
            ("status", "VARCHAR", "success, pass, warn, fail, error, skipped."),
            ("failures", "BIGINT", "Rows that failed a test."),
            ("message", "VARCHAR", "The message of dbt, or of the test."),
        ],
    ),
}
