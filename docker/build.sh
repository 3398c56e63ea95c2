#!/usr/bin/env bash
# Build the Lambda image of this checkout with Docker, and everything that its labels say:
#   docker/build.sh IMAGE [OPTION OF docker build…]
# EXTRAS="serve keras" adds TensorFlow; PLATFORM=linux/arm64 is for Lambda's arm64; BASE_IMAGE=… is another base. The
# base is taken by the digest that its tag has now. DRY_RUN=1 prints what would be run, and runs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:?say the name of the image}
shift
dry=${DRY_RUN:-}

base=${BASE_IMAGE:-public.ecr.aws/lambda/python:3.12}
digest_of=(docker buildx imagetools inspect "$base" --format '{{.Manifest.Digest}}')
case $base in
  *@sha256:*) ;;
  *) if [ -n "$dry" ]; then printf '+ %s\n' "${digest_of[*]}" && base=$base@sha256:…; else base=$base@$("${digest_of[@]}"); fi ;;
esac
# Of the file alone: the package itself needs what it requires.
read -r version code < <(python3 -c "import runpy
made = runpy.run_path('anemone_lib/provenance.py')
print(made['__version__'], made['code_sha256']())")
revision=$(git rev-parse HEAD 2>/dev/null || true)
if [ -n "$(git status --porcelain 2>/dev/null)" ]; then revision=$revision-changed; fi

# Lambda takes one image for one platform, without the attestations that buildx adds.
command=(docker build --platform "${PLATFORM:-linux/amd64}" --provenance=false --file docker/Dockerfile.inference
  --build-arg "BASE_IMAGE=$base" --build-arg "EXTRAS=${EXTRAS:-serve}" --build-arg "REVISION=$revision"
  --build-arg "VERSION=$version" --build-arg "CODE_SHA256=$code"
  --tag "$image" "$@" .)
printf '+ %s\n' "${command[*]}"
[ -n "$dry" ] || "${command[@]}"
