# The function: the same image answers the API and works on jobs.

locals {
  # Every setting in upper case, written as InferenceConfig.to_env writes it; one that is null is left out.
  settings = { for name, value in var.inference_config : upper(name) => tostring(value) if value != null }

  # What makes the results: settings and model.
  detector_environment = merge(
    local.settings,
    {
      INFERENCE_CONFIG_FINGERPRINT = var.inference_config_fingerprint
      S3_MODEL_BUCKET              = var.model_s3_bucket
      S3_MODEL_KEY                 = var.model_s3_key
      MODEL_VERSION                = var.model_version
    },
    var.model_sha256 == null ? {} : { MODEL_SHA256 = var.model_sha256 },
    var.dataset_sha256 == null ? {} : { DATASET_SHA256 = var.dataset_sha256 },
  )
  environment = merge(
    local.detector_environment,
    {
      S3_INPUT_BUCKET              = aws_s3_bucket.this["input"].id
      S3_OUTPUT_BUCKET             = aws_s3_bucket.this["output"].id
      CORS_ALLOWED_ORIGINS         = join(",", var.cors_allowed_origins)
      STATE_MACHINE_ARN            = local.state_machine_arn
      LOG_LEVEL                    = var.lambda.log_level
      POWERTOOLS_SERVICE_NAME      = local.function_name
      POWERTOOLS_METRICS_NAMESPACE = local.function_name
    },
  )
}

resource "aws_lambda_function" "this" {
  function_name                  = local.function_name
  description                    = "Finds anemonefish calls in recordings"
  package_type                   = "Image"
  image_uri                      = var.lambda.image_uri
  architectures                  = [var.lambda.architecture]
  role                           = aws_iam_role.function.arn
  memory_size                    = var.lambda.memory_size
  timeout                        = var.lambda.timeout
  reserved_concurrent_executions = coalesce(var.lambda.reserved_concurrent_executions, -1)
  publish                        = true

  ephemeral_storage {
    size = var.lambda.ephemeral_storage_size
  }
  environment {
    variables = local.environment
  }
  tracing_config {
    mode = "Active"
  }
  dynamic "vpc_config" {
    for_each = var.vpc == null ? [] : [var.vpc]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = [aws_security_group.function[0].id]
    }
  }

  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]

  lifecycle {
    precondition {
      condition     = try(var.lambda.reserved_concurrent_executions > var.job_max_concurrency, var.lambda.reserved_concurrent_executions == null)
      error_message = "lambda.reserved_concurrent_executions must be above job_max_concurrency (${var.job_max_concurrency}), otherwise one job leaves no call for the API."
    }
  }
}

# What the API and the state machine call: one published version, which can be kept warm and rolled back. Without a canary
# the aliases are one, and move as they are applied.
resource "aws_lambda_alias" "live" {
  count            = var.canary.enabled ? 0 : 1
  name             = "live"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}

moved {
  from = aws_lambda_alias.live
  to   = aws_lambda_alias.live[0]
}

# With a canary terraform/rollout.sh moves them. Requests come by `live`, of which a new version gets a share first; jobs by
# `jobs`, which moves at the end, because one job must not be worked on by two versions.
resource "aws_lambda_alias" "shifted" {
  for_each         = toset(var.canary.enabled ? ["jobs", "live"] : [])
  name             = each.key
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version # when it is made

  lifecycle {
    ignore_changes = [function_version, routing_config]
  }
}

locals {
  live = var.canary.enabled ? aws_lambda_alias.shifted["live"] : aws_lambda_alias.live[0]
  jobs = var.canary.enabled ? aws_lambda_alias.shifted["jobs"] : aws_lambda_alias.live[0]
}

resource "aws_lambda_provisioned_concurrency_config" "live" {
  count                             = var.lambda.provisioned_concurrent_executions > 0 ? 1 : 0
  function_name                     = aws_lambda_function.this.function_name
  qualifier                         = local.live.name
  provisioned_concurrent_executions = var.lambda.provisioned_concurrent_executions
}
