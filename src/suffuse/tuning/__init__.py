"""The search for a better recipe, on the teacher's stored outputs and on validation rows alone.

samplers            who answers the questions of a search space: the recipe, a random generator, or Optuna; the context
architecture_space  width, depth and fusion of the student
training_space      how it is trained
loss_space          what it learns from: losses, weights, temperatures, schedules
search_space        all of these as overrides of recipe keys, for the student and for the baseline
diagnostics         what validation and scorecards show of teacher and student
heuristics          what that makes worth trying first, and why
student_selection   the student of a run: one of the recipe's candidates, compared on validation rows
student_budget      candidates within the budget, and their cost
network_width       a network with all widths scaled by one factor
model_cost          parameters, bytes and measured latency of a network
options             what a search is asked for, and its time budget
study               the trials, in Optuna's own SQLite file; which trainings are pruned
trial               one trial, a training of :mod:`suffuse.engine.student_training`; the process that runs trials
search_session      a call of the search: its phases, and what is spent of its budget
reruns              the best trials and the unchanged recipe, trained again with fresh seeds; the selection
pareto              the trials that no other trial dominates
search_results      the chosen recipe, and what is stored of the search
"""
