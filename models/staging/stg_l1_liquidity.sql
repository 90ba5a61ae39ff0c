{{ staged('l1_liquidity') }}
