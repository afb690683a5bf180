"""What people read of scores, on a terminal and in a job summary. A report shows a score and never changes one."""
