"""Dressed human figures in front of a scene, drawn on the fly: the material of the data set `synthetic`.

Reading order: body (bones and joints), poses, clothes, shapes (flat outlines), head, drawing (limbs and trunk), props,
scenery, camera.
"""
