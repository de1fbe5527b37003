"""How good a model is, and how sure that is: intervals, curves, calibration, subgroups, robustness, and the pictures of them."""
