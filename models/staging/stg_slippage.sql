{{ staged('slippage') }}
