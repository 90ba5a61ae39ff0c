{{ staged('impact') }}
