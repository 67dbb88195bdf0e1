"""A screen that takes a minute: two dopings, the teacher as level of theory, tiny potentials."""

DOPINGS = ("pristine", "{dopant: O, site: 16e, fraction: 0.25, configuration: 0}")
#: To be formatted with ``name`` and ``dopings``.
SPEC = """
name: {name}
dopings: [{dopings}]
interface: {{layers: 1}}
demonstration: true
temperature_K: 300
protocol: quick
level_of_theory: teacher
overrides:
  equilibration: {{relax_steps: 4, max_force: 0.05, warm_up_steps: 3, warm_up_stages: 1}}
  hybrid: {{simulated_fs: 40.0}}
  rounds:
    n_burst_first: 4
    min_burst: 2
    n_stretch_first: 10
    min_stretch: 5
    n_explorations: 1
    force_rmse_tolerance: 1.0
    max_force_error: 10.0
    max_energy_error: 0.5
  probes: {{n_probes: 3}}
  distortions: {{n_rattled: 4, contact_ratios: []}}
  learning: {{num_channels: 4, steps_first: 60, steps_per_round: 20, gate_steps: 5, n_explored: 2, explore_steps: 6}}
  ranking: {{min_simulated_fs: 20.0}}
"""
