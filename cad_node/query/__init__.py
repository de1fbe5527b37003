"""Questions to a PACS, and what it is asked to send: C-FIND, C-MOVE and C-GET as SCU."""
