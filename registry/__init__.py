"""Which model is trusted now, and why."""
