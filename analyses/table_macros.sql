{{ adapter.dispatch('create_table_macros', 'warehouse')() }}
