"""'vae.VAE' + arguments -> object: the only place where names become code.

Also says which source files decide a case's numbers, without importing them.
"""
