{{ adapter.dispatch('create_tick_days', 'warehouse')() }}
