"""The search for a better recipe, on what is stored of the teacher and on validation rows alone.

asking    who answers the questions of a search space: the recipe as it is, chance, or Optuna
ground    what a space depends on: the recipe, the targets, what the store holds
shaping   width, depth and fusion of the student
schooling how it is trained
losing    what it learns from: kinds of losses, weights, temperatures, schedules
space     all of these as overrides of recipe keys, for the student and for the baseline
evidence  what a run's validation and its scorecards say of teacher and student
because   what that makes worth trying first, and why
cost      parameters, bytes and measured latency of a network
pruning   which trainings are not worth finishing
how       what a search is asked for
study     the trials, in Optuna's own SQLite file
trial     one trial: a training of :mod:`suffuse.engine.student_training` that may be cut short
worker    a process that takes one trial after the other
session   a call of the search: its phases, and what is spent of its budget
finals    the best of them, and the recipe as it was, trained again with fresh seeds
choice    which of those is taken, in words
front     what no other trial beats in everything
written   the chosen recipe, and what is kept of the search
"""
