"""GitHub: repositories handed out, pushes graded, results collected and checked. All of it is REST and git."""
