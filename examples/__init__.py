"""Records made up for the walks of docs/how-to/whole-studies.md, as hospitals' machines would give them.

Each is drawn at random by a seed. No patient is in them, and no model of them is worth anything to one.
"""
