"""hwbench: do published results on Helmholtz machines and their relatives hold, and does a new method beat them?"""

__version__ = "0.1.0"
