# The function: the image of the detector, with its own role, memory and calls, so that a season does not take the calls
# that the API needs.

locals {
  model_bucket = var.detector_environment["S3_MODEL_BUCKET"]
  model_folder = dirname(var.detector_environment["S3_MODEL_KEY"])
}

resource "aws_lambda_function" "this" {
  function_name                  = local.name
  description                    = "Analyses batches of an archive"
  package_type                   = "Image"
  image_uri                      = var.lambda.image_uri
  architectures                  = [var.lambda.architecture]
  role                           = aws_iam_role.function.arn
  memory_size                    = var.lambda.memory_size
  timeout                        = 900 # the maximum of Lambda; a batch that takes longer goes on in another call
  reserved_concurrent_executions = coalesce(var.lambda.reserved_concurrent_executions, -1)
  publish                        = true

  ephemeral_storage {
    size = var.lambda.ephemeral_storage_size
  }
  environment {
    variables = merge(var.detector_environment, {
      LOG_LEVEL                    = var.lambda.log_level
      POWERTOOLS_SERVICE_NAME      = local.name
      POWERTOOLS_METRICS_NAMESPACE = local.name
    })
  }
  tracing_config {
    mode = "Active"
  }

  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]

  lifecycle {
    precondition {
      condition     = try(var.lambda.reserved_concurrent_executions >= var.max_concurrency, var.lambda.reserved_concurrent_executions == null)
      error_message = "lambda.reserved_concurrent_executions must be at least max_concurrency (${var.max_concurrency}), otherwise batches wait for each other."
    }
  }
}

# What the state machine calls: the version that was published last.
resource "aws_lambda_alias" "live" {
  name             = "live"
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version
}
