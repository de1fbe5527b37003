"""How the patch classifiers that tell nodules from other bright spots in the lungs are made."""
