{{ staged('l2_imbalance') }}
