{{ adapter.dispatch('create_functions', 'warehouse')() }}
