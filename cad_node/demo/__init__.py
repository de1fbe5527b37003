"""The main job shown from end to end on this machine: an archive on loopback, a node, a study, and what comes back."""
