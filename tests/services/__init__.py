"""PostgreSQL, RabbitMQ and SLURM started from Debian's packages, and two people who work on them.

`make test-services` runs all of it, as root: see `tests.services.__main__`.
"""
