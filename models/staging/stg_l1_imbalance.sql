{{ staged('l1_imbalance') }}
