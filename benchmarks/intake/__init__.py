"""How fast instances come in and go out, beside DCMTK and Orthanc in the same run."""
