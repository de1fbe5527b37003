"""How the lungs are found: data, network, training and evaluation of lung_segmentation_ct."""
