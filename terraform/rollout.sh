#!/usr/bin/env bash
# Move requests to the newest version of the function, step by step:  terraform/rollout.sh dev|prod
#
# First, the script asks the version for /health. Then the version gets canary_percent of the requests for canary_minutes,
# and after that the other requests and the jobs. If an alarm goes off meanwhile, or if this script ends for another reason,
# all requests go back to the version that was live, and the exit code is 1. Without enable_canary, the apply has moved the
# alias already, and there is nothing to do. AT_ONCE=1 moves everything without waiting, also while an alarm is on: use it for
# a fix. TO=VERSION chooses another version than the newest; with AT_ONCE=1, it goes back to a version that was live.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=terraform/environments/${1:?say dev or prod}

# function version minutes percent aliases… -- alarms…; nothing where there is no canary
read -ra rollout < <(terraform -chdir="$folder" output -json | python3 -c "
import json, sys
it = json.load(sys.stdin).get('rollout', {}).get('value')
print(*([it['function'], it['version'], it['minutes'], it['percent'], ','.join(it['aliases']), *it['alarms']] if it else []))")
if [ ${#rollout[@]} = 0 ]; then
  echo "rollout: no canary here (enable_canary); the alias moved when it was applied"
  exit
fi
function=${rollout[0]} new=${TO:-${rollout[1]}} minutes=${rollout[2]} percent=${rollout[3]}
IFS=, read -ra aliases <<<"${rollout[4]}"
alarms=("${rollout[@]:5}")

say() { printf 'rollout: %s\n' "$*"; }
stop() { say "$*" >&2; exit 1; }
route() { aws lambda update-alias --function-name "$function" --name live --routing-config "$1" >/dev/null; }
back() {
  route '{"AdditionalVersionWeights": {}}'
  say "all requests go to version $old, as before" >&2
}
list_alarms() {
  aws cloudwatch describe-alarms --alarm-names "${alarms[@]}" --query "MetricAlarms[?StateValue=='ALARM'].AlarmName" --output text
}
version_of() { aws lambda get-alias --function-name "$function" --name "$1" --query FunctionVersion --output text; }
move() {
  local alias
  for alias in "${aliases[@]}"; do
    aws lambda update-alias --function-name "$function" --name "$alias" --function-version "$new" \
      --routing-config '{"AdditionalVersionWeights": {}}' >/dev/null
  done
}

old=$(version_of live)
if [ "$old" = "$new" ]; then
  move # also where an earlier run ended between the two aliases, or left a share
  say "version $new is live already"
  exit
fi
if [ -n "${AT_ONCE:-}" ]; then
  move
  say "version $new is live, after version $old"
  exit
fi

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT
aws lambda invoke --function-name "$function" --qualifier "$new" --cli-binary-format raw-in-base64-out \
  --payload '{"resource": "/health", "path": "/health", "httpMethod": "GET", "headers": {"Host": "rollout"}, "multiValueHeaders": {"Host": ["rollout"]}, "queryStringParameters": null, "multiValueQueryStringParameters": null, "body": null, "isBase64Encoded": false, "requestContext": {"path": "/health", "httpMethod": "GET", "stage": "", "identity": {"sourceIp": "127.0.0.1"}}}' \
  "$answer" >/dev/null
status=$(python3 -c "import json, sys; print(json.load(open(sys.argv[1])).get('statusCode', 'none'))" "$answer")
[ "$status" = 200 ] || stop "version $new does not answer /health (status $status): $(head -c 1000 "$answer"). Version $old stays live"

on=$(list_alarms)
[ -z "$on" ] || [ "$on" = None ] || stop "an alarm is on already: $on. Wait until it is off, or AT_ONCE=1 for the fix of it. Version $old stays live"

trap 'rm -f "$answer"; back' EXIT
trap 'exit 1' INT TERM
route "{\"AdditionalVersionWeights\": {\"$new\": $(python3 -c "print($percent / 100)")}}"
say "$percent of 100 requests go to version $new for $minutes minutes; the rest to version $old"
for ((quarter = 0; quarter < minutes * 4; quarter++)); do
  sleep 15
  on=$(list_alarms)
  [ -z "$on" ] || [ "$on" = None ] || stop "an alarm went off: $on"
done
trap 'rm -f "$answer"' EXIT
move
say "version $new is live, after version $old"
