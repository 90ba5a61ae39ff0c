{{ staged('open_interest') }}
