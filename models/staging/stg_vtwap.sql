{{ staged('vtwap') }}
