"""Data sets: one file, one new thing; the files they read are declared in `checksums.yaml`."""
