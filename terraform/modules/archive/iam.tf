# One role for the function, one for the state machine, and what a person needs who runs an archive. Actions and resources
# are named one by one; if AWS has no resource for an action, the policy says "*", and a comment explains it.

locals {
  source_arns = [for bucket in var.source_buckets : "arn:${local.partition}:s3:::${bucket}"]
  source_statements = [for arns in [local.source_arns] : {
    Sid      = "ReadRecordings"
    Effect   = "Allow"
    Action   = ["s3:GetObject", "s3:ListBucket"] # without the latter S3 answers 403 for an object that does not exist
    Resource = concat(arns, [for arn in arns : "${arn}/*"])
  } if length(arns) > 0]
  key_statements = [for keys in [var.kms_key_arns] : {
    Sid       = "ReadEncryptedObjects"
    Effect    = "Allow"
    Action    = "kms:Decrypt"
    Resource  = keys
    Condition = { StringEquals = { "kms:ViaService" = "s3.${var.aws_region}.${local.dns_suffix}" } }
  } if length(keys) > 0]

  # Child executions of the map are named after its label: <name>/<label>:<id>.
  execution_arns = [for name in [local.name, "${local.name}/*"] : "${local.states_arn}:execution:${name}:*"]

  # What `anemone archive run --on aws` calls, beside reading the recordings.
  user_policy = {
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "StartRuns"
        Effect   = "Allow"
        Action   = "states:StartExecution"
        Resource = local.state_machine_arn
      },
      {
        Sid      = "FollowAndStopRuns"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:StopExecution"]
        Resource = local.execution_arns
      },
      {
        Sid      = "LeaveBatchesAndCollectResults"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
        Resource = "${local.bucket_arn}/archives/*"
      },
      {
        Sid       = "FindResults"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = local.bucket_arn
        Condition = { StringLike = { "s3:prefix" = "archives/*" } }
      },
    ]
  }
}

resource "aws_iam_role" "function" {
  name = "${local.name}-${var.aws_region}" # roles are one for all regions of an account
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "lambda.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "function" {
  name = "function"
  role = aws_iam_role.function.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(local.source_statements, local.key_statements, [
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = "${aws_cloudwatch_log_group.function.arn}:*"
      },
      {
        Sid      = "WriteTraces" # X-Ray has no resources
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"]
        Resource = "*"
      },
      {
        Sid      = "ReadModel"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "arn:${local.partition}:s3:::${local.model_bucket}/${local.model_folder}/*"
      },
      {
        Sid      = "ReadBatches"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${local.bucket_arn}/archives/*/batches/*"
      },
      {
        Sid      = "KeepResults"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = "${local.bucket_arn}/archives/*/results/*"
      },
      {
        Sid      = "TellMissingFromForbidden" # without it S3 answers 403 for an object that does not exist
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = ["arn:${local.partition}:s3:::${local.model_bucket}", local.bucket_arn]
      },
    ])
  })
}

resource "aws_iam_role" "batches" {
  name = "${var.project_name}-${var.environment}-batches-${var.aws_region}" # a name has 64 letters at most
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "states.amazonaws.com" }
      Condition = { StringEquals = { "aws:SourceAccount" = local.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "batches" {
  name = "batches"
  role = aws_iam_role.batches.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "CallFunction"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = aws_lambda_alias.live.arn
      },
      {
        Sid      = "StartAnExecutionForEachBatch"
        Effect   = "Allow"
        Action   = "states:StartExecution"
        Resource = local.state_machine_arn
      },
      {
        Sid      = "FollowAndStopThem"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:StopExecution"]
        Resource = local.execution_arns
      },
      {
        Sid       = "ListBatches"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = local.bucket_arn
        Condition = { StringLike = { "s3:prefix" = "archives/*" } }
      },
      {
        Sid      = "WriteWhatBecameOfThem"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"]
        Resource = "${local.bucket_arn}/archives/*/map/*"
      },
      {
        Sid    = "WriteLogs" # log deliveries have no resources
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery",
          "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups",
        ]
        Resource = "*"
      },
      {
        Sid      = "WriteTraces" # X-Ray has no resources
        Effect   = "Allow"
        Action   = ["xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"]
        Resource = "*"
      },
    ]
  })
}
