"""The shape of the data, in order."""
