"""The command line: one command per verb; every listing also as --json."""
