{{ staged('l1_price') }}
