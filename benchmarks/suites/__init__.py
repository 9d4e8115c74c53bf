"""One module per fidelity suite: it translates a case into a question and the answer back.

A suite module has ``FILES`` (names of the case files it reads) and ``run(folder)``, which yields one
`CaseResult` per case of those files. It asks the planner's public functions only.
"""
