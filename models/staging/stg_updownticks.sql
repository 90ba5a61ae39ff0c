{{ staged('updownticks') }}
