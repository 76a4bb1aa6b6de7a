"""int8 forms of an exported model: which operators, by measured accuracy, size and time.

groups    what of a graph can be in int8, operator by operator, part by part
weights   tables and recurrent cells: weights kept in int8, computed in float32
make      a graph with some groups in int8, static or dynamic
judge     agreement and accuracy against fp32 on every subset of the modalities, with intervals
choose    which groups stay, and whether the form is worth shipping
"""
