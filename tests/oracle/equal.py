"""The definition of "equal" between a mart and its oracle, which all oracles use.

The same rows, the same NULLs, and |a - b| <= 1e-9 * s, where s is the sum of |x| over the window
for sums, their mean for means, and max(1, |value|) for everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Expected:
    """Values of one column by time, and what an error is measured against where that is not 1."""

    values: pd.Series
    scale: pd.Series | None = None


def assert_equal(
    actual: pd.DataFrame,
    expected: Mapping[str, Expected],
    *,
    of: str,
    tolerance: float = TOLERANCE,
) -> None:
    """Assert that ``actual``, which has the same index, has each expected column.

    ``expected`` may cover more rows (a grid without gaps) than ``actual``: those are left out.
    """
    for name, column in expected.items():
        want = column.values.reindex(actual.index)
        got = actual[name]
        where = f"{of}.{name}"
        missing = want.isna().to_numpy()
        differs = got.isna().to_numpy() != missing
        assert not differs.any(), f"{where}: NULLs differ\n{_rows(got, want, differs)}"
        if want.dtype == object or want.dtype == bool:
            wrong = ~missing & (got.to_numpy() != want.to_numpy())
        else:
            a, b = got.to_numpy(float, na_value=np.nan), want.to_numpy(float, na_value=np.nan)
            scale = np.maximum(1.0, np.abs(b))
            if column.scale is not None:
                scale = column.scale.reindex(actual.index).to_numpy(float)
            assert np.isfinite(a[~missing]).all(), f"{where}: not finite"
            wrong = ~missing & ~(np.abs(a - b) <= tolerance * scale)
        assert not wrong.any(), f"{where}: values differ\n{_rows(got, want, wrong)}"


def _rows(got: pd.Series, want: pd.Series, where: np.ndarray) -> str:
    table = pd.DataFrame({"mart": got, "oracle": want})[where]
    return f"{len(table)} of {len(got)} rows\n{table.head(5)}"
