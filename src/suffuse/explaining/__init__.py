"""Explanations of one prediction: the contribution of each modality, and of each region, word, second or column.

``segments.py`` cuts a row's entry into segments and defines an entry without one of them; ``perturbation.py`` runs a
network or an exported file on such rows; ``attribution.py`` has integrated gradients and occlusion; ``explanation.py``
puts the explanation together as plain data (JSON), and ``explanation_text.py`` prints it.
``report/explanation_view.py`` draws it.
"""
