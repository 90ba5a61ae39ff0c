{{ staged('returns') }}
