"""From attempts to grades: what a course's rules make of scores, and how each grade came about."""
