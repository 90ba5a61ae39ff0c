"""The marts against numbers that the vendor's public notebooks print beside their inputs.

The printed digits limit the precision: half of the last digit, propagated if inputs are printed
too.
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.oracle.project import Models, keyed

PRINTED = json.loads(Path(__file__).with_name("printed.json").read_text())


def bars(first: str, count: int, step: timedelta) -> pa.Array:
    start = pd.Timestamp(first)
    return pa.array([start + step * n for n in range(count)], pa.timestamp("us"))


def printed_frame(name: str) -> pd.DataFrame:
    return pd.DataFrame(PRINTED[name]["rows"], columns=PRINTED[name]["columns"], dtype=float)


def test_printed_volumes_give_the_printed_delta_and_ratio(models: Models) -> None:
    printed = printed_frame("flow_january_2024")
    buy, sell = printed["taker_buy_volume"], printed["taker_sell_volume"]
    models.fill(
        {
            "flow": keyed(
                pa.table(
                    {
                        "time": bars("2024-01-01", len(printed), timedelta(hours=1)),
                        "taker_buy_volume": buy,
                        "taker_sell_volume": sell,
                        "volume_delta": printed["volume_delta"],
                        "taker_buy_sell_ratio": buy / sell,
                        "flow_toxicity_score": printed["flow_toxicity_score"],
                    }
                ),
                interval="1h",
            )
        }
    )
    mart = models.rows("flow_features")
    # the notebook subtracts the volumes; the vendor's own delta was rounded to float32 before
    difference = mart["taker_buy_volume"] - mart["taker_sell_volume"]
    assert np.allclose(difference, printed["net_delta"], rtol=0, atol=1.1e-6)
    assert np.allclose(mart["net_delta"], printed["net_delta"], rtol=0, atol=5e-4)
    assert np.allclose(mart["taker_buy_sell_ratio"], printed["taker_buy_sell_ratio"], atol=6e-7)
    assert mart["cumulative_delta"].iloc[-1] == pytest.approx(printed["net_delta"].sum(), abs=1e-3)
    assert mart["flow_toxicity_score"].isna().tolist() == [True] + [False] * 9
    assert mart["flow_toxicity_score_filled"].iloc[0] == 0
    assert mart["rolling_net_delta_1d"].isna().all()  # ten hours are no day


def test_printed_rows_of_intro_flow_agree_with_each_other(models: Models) -> None:
    printed = printed_frame("flow_september_2025")
    buy, sell = printed["taker_buy_volume"], printed["taker_sell_volume"]
    trades = 10_000
    times = bars("2025-09-01", len(printed), timedelta(hours=1))
    models.fill(
        {
            "ohlcv": keyed(pa.table({"time": times, "close": printed["close"]}), interval="1h"),
            "flow": keyed(
                pa.table(
                    {
                        "time": times,
                        "taker_buy_volume": buy,
                        "taker_sell_volume": sell,
                        "volume_delta": buy - sell,
                        "volume_delta_notional": printed["net_delta_notional_m"] * 1e6,
                        "flow_toxicity_score": printed["flow_toxicity_score_filled"].replace(
                            0, np.nan
                        ),
                        "taker_buy_count": pa.array([trades] * len(printed)),
                        "taker_sell_count": pa.array([0] * len(printed)),
                        "taker_buy_large_order_count": pa.array(
                            [round(share * trades) for share in printed["large_trade_share"]]
                        ),
                        "taker_sell_large_order_count": pa.array([0] * len(printed)),
                    }
                ),
                interval="1h",
            ),
        }
    )
    mart = models.rows("flow_features")
    for name in PRINTED["flow_september_2025"]["columns"]:
        assert np.allclose(mart[name], printed[name], rtol=0, atol=1.5e-4), name


def test_printed_closes_give_the_printed_forward_returns(models: Models) -> None:
    printed = PRINTED["close_april_2025"]
    times = bars("2025-04-01", 5, timedelta(minutes=5))
    models.fill(
        {"ohlcv": keyed(pa.table({"time": times, "close": printed["close"]}), interval="5m")}
    )
    returns = models.rows("forward_returns")["next_bar_return_bps"]
    assert np.allclose(returns[:4] / 1e4, printed["next_bar_return"], rtol=0, atol=5e-7)
    assert np.isnan(returns[4])


def test_may_2025_at_the_printed_mean_rate_gives_the_printed_carry(models: Models) -> None:
    printed = PRINTED["settled_rate_may_2025"]
    rate = printed["mean_settled_rate_bps"] / 1e4
    times = bars("2025-05-01", 31 * 288, timedelta(minutes=5))
    table = pa.table({"time": times, "funding_rate": [rate] * len(times)})
    models.fill({"funding": keyed(table, interval="5m")})
    mart = models.rows("funding_settlements")
    assert len(mart) == 93
    assert mart["settled_rate"].count() == 92  # nothing is known before the first
    assert mart["annualized_pct"].iloc[-1] == pytest.approx(printed["annualized_pct"], abs=6e-6)
    carry = mart["cum_funding_unit_long_pct"].iloc[-1]
    assert carry == pytest.approx(printed["cum_funding_unit_long_pct"], abs=5e-3)
