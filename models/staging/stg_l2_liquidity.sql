{{ staged('l2_liquidity') }}
