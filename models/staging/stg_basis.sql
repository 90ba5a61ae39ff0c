{{ staged('basis') }}
