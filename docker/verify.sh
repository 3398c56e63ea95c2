#!/usr/bin/env bash
# Does an image in a registry hold the code of this checkout, as its label says?  docker/verify.sh IMAGE
# The label was compared with the code when the image was built (Dockerfile.inference).
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?say the name of the image}
held=$(skopeo inspect --config "docker://$image" | python3 -c "
import json, sys
print(json.load(sys.stdin)['config'].get('Labels', {}).get('anemone.code-sha256', ''))")
code=$(python3 -c "import runpy; print(runpy.run_path('anemone_lib/provenance.py')['code_sha256']())")
[ "$held" = "$code" ] || { echo "$image holds the code '$held'; this checkout's is $code" >&2; exit 1; }
echo "$image holds the code $code"
