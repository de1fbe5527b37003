"""The front door: associations become files, files become index rows, quiet studies become jobs."""
