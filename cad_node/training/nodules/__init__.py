"""What readers drew and said of lung nodules, and the two models that learn it: outline and suspicion of malignancy."""
