"""What comes back from the engines, turned into nodes and exit codes."""
