"""int8 forms of an exported model: which operators, by measured accuracy, size and time.

operator_groups      what of a graph can be in int8, by operator and by part of the model
quantize             a graph with some groups in int8: static, dynamic, or weights only
accuracy_check       agreement and accuracy against fp32 on every subset of the modalities, with intervals
precision_selection  which groups stay, and whether the form is worth shipping
"""
