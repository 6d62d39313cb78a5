"""Can a classification task be solved without understanding it, and is its table what it says?"""
