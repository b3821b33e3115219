"""What a model may know, and as of when.

Reads nothing but the views of schema `known`. `sql/*.sql` answers for a spine of (entity, instant) pairs what was
known then; the functions of `opportunities`, `accounts`, `reps`, `leads` and `pipeline` are the features. `offline`
makes training sets of them, `online` serves the same values now.
"""
