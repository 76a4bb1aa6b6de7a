"""One answer explained: which modality made it, and in it which region, words, seconds or columns.

``parts.py`` cuts a row's entry into parts and says what an entry without one is; ``asking.py`` asks a network, or an
exported file, about such rows; ``gradients.py`` follows a network's gradients instead; ``one.py`` puts it together, and
``lines.py`` says it. What comes out is plain data (JSON), which the page of ``report/explanation_view.py`` draws.
"""
