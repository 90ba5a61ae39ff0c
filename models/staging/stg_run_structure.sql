{{ staged('run_structure') }}
