"""Findings as DICOM objects, one file per object."""
