"""How to learn and predict: knows arrays and the names of columns, not the world."""
