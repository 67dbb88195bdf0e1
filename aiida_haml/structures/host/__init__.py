"""The electrolyte crystal that is doped: its sites, how much of each is occupied, and which are taken."""

from aiida_haml.structures.host.ordering import order
from aiida_haml.structures.host.sites import host_settings, parent, read_crystal, site_counts

__all__ = ["host_settings", "order", "parent", "read_crystal", "site_counts"]
