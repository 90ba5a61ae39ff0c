{{ duckdb__create_ticks() }}
