"""Whether DICOM objects are as they should be: the node's own before they are sent, anyone's against a profile."""
