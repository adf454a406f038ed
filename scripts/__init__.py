"""What makes files of the repository; no part of the package, and nobody has to run it to use edsel.

``study_reference`` writes the tables of the documentation from the code, ``demo`` the demo's pool, items and
model. Tests hold the files against what the scripts make.
"""
