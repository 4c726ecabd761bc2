"""Executors, which map a function over items and so run cases."""
