"""Attacks on a service of one's own, on this computer only: ``python -m tests.service.attack.inputs``, ``… .soak``."""
