"""``python -m suffuse``."""

from .cli import main

main()
