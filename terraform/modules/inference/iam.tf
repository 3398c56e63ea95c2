# One role for the function, one for the state machine. Actions and resources are named one by one; where AWS knows no
# resource for an action, "*" is all that can be written, and a comment says so.

locals {
  model_bucket_arn = "arn:${local.partition}:s3:::${var.model_s3_bucket}"
  function_arn     = "arn:${local.partition}:lambda:${var.aws_region}:${local.account_id}:function:${local.function_name}"

  # In a VPC, Lambda makes the function's network interfaces with the function's role; the code itself may not.
  network_actions = [
    "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
  ]
  network_statements = [for statement in [
    {
      Sid      = "JoinNetwork" # the interfaces do not exist yet, and describing knows no resources
      Effect   = "Allow"
      Action   = local.network_actions
      Resource = "*"
    },
    {
      Sid       = "LeaveNetworkToLambda"
      Effect    = "Deny"
      Action    = local.network_actions
      Resource  = "*"
      Condition = { ArnEquals = { "lambda:SourceFunctionArn" = [local.function_arn] } }
    },
  ] : statement if var.vpc != null]
  key_statements = [for keys in [var.model_kms_key_arns] : {
    Sid       = "ReadEncryptedModel"
    Effect    = "Allow"
    Action    = "kms:Decrypt"
    Resource  = keys
    Condition = { StringEquals = { "kms:ViaService" = "s3.${var.aws_region}.${local.dns_suffix}" } }
  } if length(keys) > 0]
}

resource "aws_iam_role" "function" {
  name = "${local.name}-function-${var.aws_region}" # roles are one for all regions of an account
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
    Statement = concat(local.network_statements, local.key_statements, [
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
        Resource = "${local.model_bucket_arn}/${dirname(var.model_s3_key)}/*"
      },
      {
        # Uploads are signed with this role, so what a browser may do with an upload address is what the role may do.
        Sid      = "ReadAndTakeRecordings"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = "${aws_s3_bucket.this["input"].arn}/*"
      },
      {
        # What users put into the buckets themselves is not the service's to remove.
        Sid      = "RemoveJobs"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject", "s3:AbortMultipartUpload"]
        Resource = [for bucket in aws_s3_bucket.this : "${bucket.arn}/jobs/*"]
      },
      {
        Sid      = "FindUploadsOfJobs"
        Effect   = "Allow"
        Action   = "s3:ListBucketMultipartUploads"
        Resource = [for bucket in aws_s3_bucket.this : bucket.arn]
      },
      {
        Sid      = "KeepResults"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = "${aws_s3_bucket.this["output"].arn}/*"
      },
      {
        Sid      = "TellMissingFromForbidden" # without it S3 answers 403 for an object that does not exist
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = [local.model_bucket_arn, aws_s3_bucket.this["input"].arn, aws_s3_bucket.this["output"].arn]
      },
      {
        Sid      = "StartJobs"
        Effect   = "Allow"
        Action   = "states:StartExecution"
        Resource = local.state_machine_arn
      },
      {
        Sid      = "FollowAndStopJobs"
        Effect   = "Allow"
        Action   = ["states:DescribeExecution", "states:StopExecution"]
        Resource = "${replace(local.state_machine_arn, ":stateMachine:", ":execution:")}:*"
      },
    ])
  })
}

resource "aws_iam_role" "jobs" {
  name = "${local.name}-jobs-${var.aws_region}"
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

resource "aws_iam_role_policy" "jobs" {
  name = "jobs"
  role = aws_iam_role.jobs.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "CallFunction"
        Effect   = "Allow"
        Action   = "lambda:InvokeFunction"
        Resource = local.jobs.arn
      },
      {
        Sid      = "TellOfFailures"
        Effect   = "Allow"
        Action   = "sns:Publish"
        Resource = aws_sns_topic.alarms.arn
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
