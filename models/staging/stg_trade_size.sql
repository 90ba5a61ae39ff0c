{{ staged('trade_size') }}
