{{ duckdb__create_functions() }}
