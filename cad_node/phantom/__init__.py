"""A chest CT that belongs to nobody: anatomy in true HU, nodules of known place and size, a scanner's blur and noise."""

from cad_node.phantom.nodules import NODULES, PhantomNodule
from cad_node.phantom.study import PhantomStudy, phantom_study

__all__ = ["NODULES", "PhantomNodule", "PhantomStudy", "phantom_study"]
