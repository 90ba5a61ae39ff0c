"""The vendor: its series, files and columns, and its HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
    from warehouse.vendor.api import (
        LONGEST_RAW_DAYS,
        PREVIEW_DAYS,
        PREVIEW_RAW_DAYS,
        PREVIEW_SERIES,
        KeyRefusedError,
        Links,
        Listing,
        NoAnswerError,
        RequestRefusedError,
        VendorClient,
        clock_warning,
        unknown_symbol,
    )
    from warehouse.vendor.contracts import (
        KEY_COLUMNS,
        LARGEST_VALUE,
        NO_TYPE,
        OTHER_TYPE,
        SMALLEST_VALUE,
        Contract,
        DatasetColumn,
        dbt_project_dir,
        load_contracts,
        project_vars,
    )
    from warehouse.vendor.download import Body, discard_part, download_file
    from warehouse.vendor.http import is_loopback
    from warehouse.vendor.keys import (
        CLOCKS,
        INTERVALS,
        RAW_PREFIX,
        SERIES_COLUMNS,
        YEARS,
        FileKey,
        Period,
        SeriesKey,
        Symbol,
        day_after,
        decode,
        encode,
        interval_us,
        is_raw,
        require_vendor_interval,
        time_columns,
    )
    from warehouse.vendor.request import Wanted, months
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
