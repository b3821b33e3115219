"""How to learn and predict: arrays in, arrays out; nothing of the world."""
