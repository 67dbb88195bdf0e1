"""Commands that ask the graph: trace, audit, cost, failures."""

import json

import click

from aiida_haml.cli.messages import Refusal, echo, visible
from aiida_haml.cli.root import find_node, find_node_or_group, find_process, with_profile


@click.command()
@click.argument("node")
@click.option("--frame", type=int, default=None, metavar="N", help="Trace one frame of a node of frames.")
@with_profile
def trace(node: str, frame: int | None) -> None:
    """Walk from NODE (a ranking, a potential, frames) down to the AIMD steps behind it."""
    from aiida_haml.queries import trace as draw

    try:
        echo(draw(find_node(node), frame))
    except ValueError as error:
        raise Refusal(str(error)) from error


@click.command()
@click.argument("root", metavar="PK|GROUP")
@click.pass_context
@with_profile
def audit(context: click.Context, root: str) -> None:
    """Count results that came from nowhere and training frames without an AIMD step; exit with 1 if any.

    Doubts are what has a creator and still is not whole: half a story from an archive, a potential that nobody here
    trained, an imported isolated atom.
    """
    from aiida_haml.queries import audit as check

    report = check(find_node_or_group(root))
    for problem in report.problems:
        echo(visible(problem))
    echo(f"looked at {report.n_processes} processes, {report.n_data} data nodes, "
               f"{report.n_training_frames} training frames")  # fmt: skip
    echo(f"nodes that carry science without a creator: {report.n_cut}")
    echo(f"training frames without an AIMD step: {report.n_untraced}")
    echo(f"doubts about what the records say of themselves: {len(report.doubts)}")
    context.exit(0 if report.ok else 1)


@click.command()
@click.argument("pk")
@click.option(
    "--by",
    type=click.Choice(["work", "candidate", "person"]),
    default="work",
    show_default=True,
    help="How to divide it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@with_profile
def cost(pk: str, by: str, as_json: bool) -> None:
    """Show where the time of process PK went, and the speed-up over AIMD alone."""
    from aiida_haml.queries import cost as account

    report = account(find_process(pk))
    if as_json:
        echo(json.dumps(report.as_dict(), sort_keys=True))
        return
    table = {"work": report.kinds, "candidate": report.candidates, "person": report.people}[by]
    width = max([len(visible(name)) for name in table] + [12]) + 2
    echo(f"{by:<{width}}{'jobs':>6}{'cached':>8}{'seconds':>11}")
    for name, work in sorted(table.items(), key=lambda item: -item[1].seconds):
        echo(f"{visible(name):<{width}}{work.n_jobs:>6}{work.n_cached:>8}{work.seconds:>11.1f}")
    share = f" ({report.overhead_share:.0%} of the wall time)" if report.overhead_share is not None else ""
    echo(f"wall time {report.wall_s:.0f} s; no engine running {report.overhead_s:.0f} s{share}")
    if report.aimd_alone_s is None or report.speed_up is None:
        echo("speed-up over AIMD alone: unknown, as there is no AIMD step or no simulated time yet")
        return
    echo(
        f"{report.simulated_fs:.1f} fs simulated = {report.simulated_steps:.0f} AIMD steps, "
        f"of which {report.aimd_steps} were computed, at {report.seconds_per_step:.2f} s each"
    )
    times = f"{report.aimd_alone_s:.0f} s / {report.spent_s:.0f} s"
    echo(f"speed-up over AIMD alone: {times} = {report.speed_up:.2f}")


@click.command()
@click.argument("pk")
@with_profile
def failures(pk: str) -> None:
    """List what failed below process PK, each at its root, and how it was dealt with."""
    from aiida_haml.queries import failures as find

    found = find(find_process(pk))
    for failure in found:
        echo(visible(failure))
    if not found:
        echo("nothing failed")
