"""The simulated company: one noun per file, put together and written by `training.synthetic`."""
