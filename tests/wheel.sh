#!/usr/bin/env bash
# What a user installs: wheel.sh PYTHON, of an environment that has the dependencies.
#
# Builds the sdist and from it the wheel, installs that into a fresh environment beside the dependencies of PYTHON's,
# and asks it for every plugin and command, away from the source tree.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(realpath -s "$1")
uv=$(dirname "$python")/uv
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$uv" build --quiet --python "$python" --out-dir "$folder/dist" .  # the wheel is built from the sdist
"$uv" venv --quiet --python "$python" "$folder/env"
"$uv" pip install --quiet --no-deps --python "$folder/env/bin/python" "$folder"/dist/*.whl
# The dependencies are not installed again; a plain path does not bring the source tree, which the environment links to.
"$python" -c 'import sys; print(*(path for path in sys.path if path.endswith("site-packages")), sep="\n")' \
  >"$("$folder/env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/dependencies.pth"

cd "$folder"
export AIIDA_PATH="$folder/aiida"
mkdir -p "$AIIDA_PATH"
env/bin/python - <<'PYTHON'
from importlib.metadata import distribution
from pathlib import Path

import aiida_haml

assert "env" in Path(aiida_haml.__file__).parts, f"{aiida_haml.__file__} is not the wheel's"
points = [p for p in distribution("aiida-haml").entry_points if p.group != "console_scripts"]
for point in points:
    point.load()
print(f"{len(points)} plugins of aiida-haml {aiida_haml.__version__} load from the wheel")
PYTHON
env/bin/aiida-haml --version
env/bin/haml-engine --help >/dev/null
