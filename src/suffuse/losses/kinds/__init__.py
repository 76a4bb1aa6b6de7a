"""One file per kind of loss; :mod:`suffuse.losses` says what each has."""
