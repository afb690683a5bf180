"""Grades for people and other systems, one module a format. An export reads scores and never changes one."""
