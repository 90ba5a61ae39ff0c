{{ adapter.dispatch('create_ticks', 'warehouse')() }}
