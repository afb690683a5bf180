"""The grader of a deep-learning course: hidden tests in a trusted judge, student code in a confined worker.

Nothing is imported here: the confined worker loads this package too, and must see nothing of it but its own part.
"""
