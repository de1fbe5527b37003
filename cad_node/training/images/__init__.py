"""A classifier of two kinds of images, for any set of the known formats."""
