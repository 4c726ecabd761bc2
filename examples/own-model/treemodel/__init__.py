"""Chow-Liu trees for hwbench: a model and its fit."""
