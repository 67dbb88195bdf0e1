"""The electrolyte crystal that is doped: its sites, how much of each is occupied, and which are taken."""

from aiida_haml.structures.host.crystal import Crystal, read_crystal
from aiida_haml.structures.host.ordering import order
from aiida_haml.structures.host.settings import host_settings, read_host
from aiida_haml.structures.host.sites import parent, site_counts

__all__ = ["Crystal", "host_settings", "order", "parent", "read_crystal", "read_host", "site_counts"]
