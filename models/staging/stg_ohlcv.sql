{{ staged('ohlcv') }}
