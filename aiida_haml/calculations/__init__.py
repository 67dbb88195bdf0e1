"""CalcJobs and calcfunctions: the bridge between the pure parts and the provenance graph."""
