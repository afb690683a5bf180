"""Where the hidden tests of this task are written; an example of grades runs none."""
