"""Classical models (scikit-learn) on a run's rows: what a network has to beat.

Each modality has features that need no training (``features.py``) and a model on them (``estimators.py``); the late
fusion of the modalities is weighted on validation rows (:mod:`suffuse.opinion_pool`); ``baselines.py`` fits all of
them for a run. Nothing is stored but predictions: a fit takes seconds and is deterministic.
"""
