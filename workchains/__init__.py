"""The orchestration: WorkChains that start, join and inspect processes, and nothing else."""

if __name__ != "aiida_haml.workchains":
    # Imported from the checkout's root this would be a second set of classes, unknown to the entry points.
    raise ImportError("import aiida_haml.workchains instead of workchains")
