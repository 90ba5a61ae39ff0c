{{ staged('funding') }}
