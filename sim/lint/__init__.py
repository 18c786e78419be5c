"""What must hold of the sources without running them: linters, drift of generated files, the ways of imports."""
