"""Slices and findings as pictures, and pages of them."""
