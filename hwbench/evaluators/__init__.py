"""How a trained model is measured: one file, one way."""
