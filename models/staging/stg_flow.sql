{{ staged('flow') }}
