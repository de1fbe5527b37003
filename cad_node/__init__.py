"""DICOM-integrated CAD inference server: studies in, Segmentations and Structured Reports back to the PACS."""

__version__ = "0.1.0"
