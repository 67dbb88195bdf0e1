#!/usr/bin/env bash
# The main job in a database of its own: set up, submit or take up, watch, and show what came out.
# Started by `make demo`, which puts the virtual environment on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

export AIIDA_PATH="$PWD/.demo"  # a user's own profiles stay untouched
export OMP_NUM_THREADS=1 AIIDA_WARN_v3=
spec=${1:-examples/quick_screen.yaml}
name=$(python -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["name"])' "$spec")
report=.demo/report.html
mkdir -p "$AIIDA_PATH"

# A daemon that was killed leaves workers behind. Ours are those whose environment names this database.
end_leftovers() {
  local pid
  for pid in $(pgrep -f 'verdi.* daemon (worker|broker|start-circus)|from circus import stats' || true); do
    # Another user's is not ours to read, nor to end.
    if { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qxF -e "AIIDA_PATH=$AIIDA_PATH" -e "AIIDA_PATH=$AIIDA_PATH/.aiida"; then
      kill "$pid" 2>/dev/null || true
    fi
  done
}

stop_daemon() {
  verdi -p haml daemon stop >/dev/null 2>&1 || true
  end_leftovers
}
trap stop_daemon EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { printf '\n== %s\n' "$*"; }

say "profile and codes"
verdi -p haml profile show haml >/dev/null 2>&1 || verdi presto -n -p haml --use-zeromq
aiida-haml -p haml setup

say "daemon"
stop_daemon
verdi -p haml process repair --force  # takes up what a killed daemon dropped
verdi -p haml daemon start

say "screen"
aiida-haml -p haml screen submit --resume "$spec"
failed=0
aiida-haml -p haml screen watch "$name" || failed=1
pk=$(aiida-haml -p haml screen pk "$name")
if [ "$failed" = 1 ]; then
  verdi -p haml process report "$pk" | tail -40
  echo "Something failed: the story is above, and 'verdi -p haml process status $pk' shows the tree."
fi

say "ranking"
aiida-haml -p haml screen rank "$pk"  # ends the script where no candidate could be ranked
say "cost"
aiida-haml -p haml cost "$pk"
say "audit"
aiida-haml -p haml audit "$pk"
say "report"
aiida-haml -p haml screen report "$pk" -o "$report"

cat <<TEXT

The numbers exercise the pipeline and decide nothing: GFN1-xTB labels, small potentials, a picosecond.
To explore what is stored:
  export AIIDA_PATH="\$PWD/.demo"; source .venv/bin/activate
  aiida-haml trace $pk                 from the ranking down to the AIMD steps
  verdi process status $pk             the tree of processes
  verdi process list -a                all of them
  verdi node graph generate $pk        a drawing of the provenance
TEXT
exit "$failed"
