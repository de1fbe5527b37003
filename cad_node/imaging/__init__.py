"""Images as numbers in patient space: loading, lungs, candidates, delineation, measurement."""
