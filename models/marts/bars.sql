{{ panel([
    'ohlcv', 'vtwap', 'flow', 'trade_size', 'impact', 'range', 'updownticks', 'run_structure',
    'returns', 'slippage', 'l1_price', 'l1_imbalance', 'l1_liquidity', 'l2_imbalance',
    'l2_liquidity', 'basis', 'funding', 'open_interest', 'derivative_price',
]) }}
