#!/usr/bin/env bash
# Deploy an environment, check its answers, or destroy it:  terraform/deploy.sh deploy|check|destroy dev|prod
# `make deploy ENV=dev` and `make destroy ENV=dev` call it. DRY_RUN=1 prints what would be run, and runs nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

action=${1:-} environment=${2:-}
folder=terraform/environments/$environment
dry=${DRY_RUN:-}
python=${ANEMONE_PYTHON:-.venv/bin/python}

say() { printf '\n== %s\n' "$*"; }
stop() { printf 'deploy: %s\n' "$*" >&2; exit 2; }
run() { printf '+ %s\n' "$*"; [ -n "$dry" ] || "$@"; }
# value PLACEHOLDER COMMAND…: print the output of a command; on a dry run, show the command and print the placeholder
value() {
  local placeholder=$1
  shift
  printf '+ %s\n' "$*" >&2
  if [ -n "$dry" ]; then printf '%s' "$placeholder"; else "$@"; fi
}
ask() { # ask QUESTION ANSWER: go on only with this answer
  printf '%s ' "$1"
  if [ -n "$dry" ]; then printf '(not asked)\n'; return; fi
  local answer
  read -r answer
  [ "$answer" = "$2" ] || stop "stopped: nothing more was done"
}
tf() { run terraform -chdir="$folder" "$@"; }
output() { value "<$1>" terraform -chdir="$folder" output -raw "$1"; }
variable() { # the value of a variable as Terraform sees it
  printf '+ echo var.%s | terraform -chdir=%s console\n' "$1" "$folder" >&2
  if [ -n "$dry" ]; then printf '<%s>' "$1"; else echo "var.$1" | terraform -chdir="$folder" console | tr -d '"'; fi
}

case $environment in dev | prod) ;; *) stop "ENV is '$environment'; it must be dev or prod: make deploy ENV=dev" ;; esac
case $action in deploy | check | destroy) ;; *) stop "say deploy, check or destroy" ;; esac
if [ -z "$dry" ]; then
  for program in terraform aws docker git; do
    [ $action != deploy ] && [ $program = docker ] && continue
    command -v $program >/dev/null || stop "$program is not installed; see terraform/README.md, Prerequisites"
  done
  [ -f "$folder/terraform.tfvars" ] || stop "fill in $folder/terraform.tfvars first; terraform.tfvars.example shows how"
fi

# An image that runs gets a tag live-ENVIRONMENT-VERSION, which the lifecycle of the repository spares (modules/ecr).
keep() {
  say "The image that runs is kept"
  local function version image repository digest tag manifest
  function=$(output lambda_function_name)
  version=$(value 1 aws lambda get-alias --function-name "$function" --name live --query FunctionVersion --output text)
  image=$(value "$registry/$name@sha256:<digest>" aws lambda get-function --function-name "$function" --qualifier live \
    --query Code.ResolvedImageUri --output text)
  repository=${image%@*} digest=${image#*@} tag=live-$environment-$version
  repository=${repository#*/}
  if [ -z "$dry" ] && aws ecr describe-images --repository-name "$repository" --image-ids "imageTag=$tag" >/dev/null 2>&1; then
    return
  fi
  manifest=$(value '<manifest>' aws ecr batch-get-image --repository-name "$repository" --image-ids "imageDigest=$digest" \
    --query 'images[0].imageManifest' --output text)
  run aws ecr put-image --repository-name "$repository" --image-tag "$tag" --image-manifest "$manifest"
}

check() {
  keep
  say "Does it answer what the library answers here? (notebook 05)"
  local endpoint bucket key
  endpoint=$(output api_endpoint)
  bucket=$(variable model_s3_bucket) key=$(variable model_s3_key)
  export ANEMONE_API_KEY
  ANEMONE_API_KEY=$(value '' sh -c "terraform -chdir='$folder' output -raw api_key_value 2>/dev/null || true")
  run aws s3 cp --recursive "s3://$bucket/$(dirname "$key")" "out/deploy/$environment/model"
  run "$python" -m papermill notebooks/05_check_deployment.ipynb "out/deploy/$environment/05_check_deployment.ipynb" \
    --cwd notebooks --parameters endpoint "${endpoint%/predict}" \
    --parameters model "../out/deploy/$environment/model" \
    --parameters tfvars "../$folder/inference_config.auto.tfvars.json" \
    --parameters out_folder "../out/deploy/$environment"
  run "$python" -c "
import json, sys
checks = json.load(open('out/deploy/$environment/05_check_deployment.json'))['checks']
sys.exit(', '.join(name for name, ok in checks.items() if not ok) or None)"
  say "$name answers at $endpoint"
  printf 'curl -F audio=@recording.wav %s%s\n' "$endpoint" "$([ "$environment" = prod ] && printf " -H 'x-api-key: …'" || true)"
}

say "Who and where"
account=$(value 123456789012 aws sts get-caller-identity --query Account --output text)
export TF_VAR_lambda_image_uri=$account.dkr.ecr.us-east-1.amazonaws.com/not-yet:0 # until there is an image
[ $action = check ] && [ -d "$folder/.terraform" ] || tf init -input=false
region=$(variable aws_region)
name=$(variable project_name)-$environment
registry=$account.dkr.ecr.$region.amazonaws.com

if [ $action = check ]; then
  check
  exit
fi

if [ $action = destroy ]; then
  say "Destroy $name"
  printf 'This ends the service for everybody and deletes what it keeps, for good. Buckets that are not empty are\n'
  printf 'deleted only where force_destroy is true (and applied). The bucket of the model is not touched.\n'
  ask "Type the name of what you want to destroy ($name):" "$name"
  tf destroy
  exit
fi

say "The settings are those of their fingerprint"
run "$python" -c "from anemone_lib import InferenceConfig; print(InferenceConfig.load('$folder/inference_config.auto.tfvars.json').fingerprint)"

say "The repository of the image, before there is an image"
tf apply -input=false -auto-approve -target=module.ecr -target=data.aws_ecr_repository.shared
repository=$(value "$registry/$name" terraform -chdir="$folder" output -raw ecr_repository_url)
tag=$(value 0.1.0 "$python" -c "import anemone_lib; print(anemone_lib.__version__)")-$(git rev-parse --short=12 HEAD)
if [ -n "$(git status --porcelain)" ]; then
  [ "$environment" = dev ] || [ -n "$dry" ] || stop "there are uncommitted changes; prod runs only what is committed"
  tag=$tag-$(date -u +%Y%m%d%H%M%S)
fi
image=$repository:$tag

say "The image $image"
printf '+ aws ecr get-login-password --region %s | docker login --username AWS --password-stdin %s\n' "$region" "$registry"
[ -n "$dry" ] || aws ecr get-login-password --region "$region" | docker login --username AWS --password-stdin "$registry"
digest_of=(aws ecr describe-images --region "$region" --repository-name "${repository#*/}" --image-ids "imageTag=$tag"
  --query 'imageDetails[0].imageDigest' --output text)
if [ -z "$dry" ] && "${digest_of[@]}" >/dev/null 2>&1; then
  echo "it is there already"
else
  [ "$(variable lambda_architecture)" = arm64 ] && export PLATFORM=linux/arm64
  docker/build.sh "$image"
  run docker push "$image"
  if [ "$environment" = dev ]; then # what a plain `terraform apply` in dev takes
    run docker tag "$image" "$repository:latest"
    run docker push "$repository:latest"
  fi
fi
digest=$(value 'sha256:<digest>' "${digest_of[@]}")
export TF_VAR_lambda_image_uri=$repository@$digest

if [ -z "$dry" ] && [ "$(variable manage_api_gateway_account)" != true ] \
  && [ "$(aws apigateway get-account --query cloudwatchRoleArn --output text)" = None ]; then
  stop "API Gateway has no role to write logs with: apply terraform/bootstrap, or set manage_api_gateway_account = true"
fi

say "The plan"
tf plan -input=false -out=deploy.tfplan
ask "Apply this plan to $name? Type yes:" yes
tf apply -input=false deploy.tfplan
run rm -f "$folder/deploy.tfplan"

say "The new version gets its requests"
run terraform/rollout.sh "$environment"

check
