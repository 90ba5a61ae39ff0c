{{ staged('range') }}
