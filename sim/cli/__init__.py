"""The `triptych` command, a module a task."""
