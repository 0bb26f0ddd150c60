"""Gilbarco Two-Wire: the controller's side."""
