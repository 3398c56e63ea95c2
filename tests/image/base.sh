#!/bin/bash
# base.sh TAG: a stand-in for the AWS Lambda base image, made of Debian's packages only. The same contract: Python, pip,
# LAMBDA_TASK_ROOT, and an entry point that runs the runtime client on the handler it is given. The certificates and
# pip's settings of this machine go in, so that pip reaches the same index.
set -euo pipefail
tag=$1
if buildah inspect --type image "$tag" >/dev/null 2>&1; then exit; fi # kept from before
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# On a Debian its own mirror; elsewhere, on Ubuntu too, the one that mmdebstrap knows, or DEBIAN_MIRROR.
etc=${ETC:-/etc} mirror=${DEBIAN_MIRROR:-}
if [ -z "$mirror" ] && grep -qx 'ID=debian' "$etc/os-release" 2>/dev/null; then
  mirror=$(awk '/^URIs:/ {print $2; exit}' "$etc"/apt/sources.list.d/*.sources 2>/dev/null || true)
fi
# shellcheck disable=SC2016  # mmdebstrap expands $1
mmdebstrap --quiet --mode=root --variant=minbase --include=ca-certificates,python3,python3-pip \
  --customize-hook='ln -sf python3 "$1/usr/bin/python"' \
  --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
  --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*' \
  --format=tar bookworm "$folder/base.tar" ${mirror:+"$mirror"}
cat >"$folder/lambda-entrypoint.sh" <<'EOF'
#!/bin/sh
exec python -m awslambdaric "$@"
EOF
chmod 755 "$folder/lambda-entrypoint.sh"
container=$(buildah from scratch)
buildah add --quiet "$container" "$folder/base.tar" / >/dev/null
buildah copy --quiet "$container" "$folder/lambda-entrypoint.sh" /lambda-entrypoint.sh >/dev/null
buildah copy --quiet "$container" /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt >/dev/null
if [ -f /etc/pip.conf ]; then buildah copy --quiet "$container" /etc/pip.conf /etc/pip.conf >/dev/null; fi
buildah config --env PATH=/usr/local/bin:/usr/bin:/bin --env LANG=C.UTF-8 --env LAMBDA_TASK_ROOT=/var/task \
  --env SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt --workingdir /var/task \
  --entrypoint '["/lambda-entrypoint.sh"]' "$container"
buildah commit --quiet --rm "$container" "$tag" >/dev/null
