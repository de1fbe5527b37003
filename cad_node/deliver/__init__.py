"""Result files to their destinations, one file per transport."""
