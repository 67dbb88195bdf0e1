"""Jobs that never ran: nodes with an exit status and outputs, for the handlers of restart WorkChains to look at."""

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from plumpy import ProcessState

from aiida_haml.data.frames import FramesData


def workchain(process_class, **inputs):
    """Make a WorkChain whose first job is about to be inspected."""
    process = instantiate_process(get_manager().get_runner(), process_class, **inputs)
    process.setup()
    process.ctx.iteration = 1
    return process


def job(entry_point, computer, exit_status=0, **outputs):
    """Make a finished CalcJob with an exit status and outputs."""
    node = orm.CalcJobNode(computer=computer, process_type=f"aiida.calculations:{entry_point}")
    node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
    node.set_process_state(ProcessState.FINISHED)
    if exit_status is not None:
        node.set_exit_status(exit_status)
        node.set_exit_message(f"planted failure {exit_status}")
    node.set_process_label("PlantedCalculation")
    node.store()
    for label, output in outputs.items():
        output.base.links.add_incoming(node, LinkType.CREATE, label)
        output.store()
    return node


def broken_job(entry_point, computer, exception):
    """Make a CalcJob that AiiDA itself could not bring to its end."""
    node = job(entry_point, computer, None)
    node.set_process_state(ProcessState.EXCEPTED)
    node.set_exception(exception)
    return node


def inspect(process, node):
    """Let a WorkChain look at a job as its first one; return the exit code, if it gave one."""
    process.ctx.children = [*process.ctx.get("children", []), node]
    process.ctx.iteration = len(process.ctx.children)
    return process.inspect_process()


def frames_node(frames, kind):
    """Make the frames that a job left."""
    return FramesData(frames, kind=kind, level_of_theory="planted-0" if kind in ("burst", "probes") else None)
