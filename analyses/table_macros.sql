{{ duckdb__create_table_macros() }}
