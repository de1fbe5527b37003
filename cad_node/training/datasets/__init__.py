"""Readers of public data sets as they are downloaded: what is in them, whose it is, and the SHA-256 of what was read."""
