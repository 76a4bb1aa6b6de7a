"""A look at a recipe and its table before anything is trained: what will be read, what is wrong, what it costs.

Nothing is written. What is costly to look at is looked at in a sample, and the result says so.
"""
