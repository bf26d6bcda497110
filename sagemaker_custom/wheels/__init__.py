"""Wheels from the choice of their versions to the image layers that hold them."""
