"""The confined side: runs a student's code, and answers the judge's questions about it with data.

It imports nothing of this project but the wire, and is given no test, no expected value and no secret.
"""
