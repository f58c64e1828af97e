"""Faces in front of a scene, drawn on the fly: the material of the synthetic set of faces.

Reading order: anatomy (the points of a face in space), looks (who looks how), painting (a face as flat shapes).
"""
