{{ staged('derivative_price') }}
