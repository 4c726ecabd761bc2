"""The data sets: one kind per file; the files that they read are declared in `checksums.yaml`."""
