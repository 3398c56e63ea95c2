# What the roles may do. Everything of an environment is named <project>-<environment>…, and its rights end there; where
# AWS knows no names (identifiers of APIs, lists), a comment says so.

locals {
  # Names by service, as ARNs of what belongs to an environment.
  things = { for environment in var.environments : environment => {
    name  = "${var.project_name}-${environment}"
    here  = "${var.aws_region}:${local.account_id}"
    state = "${var.project_name}/${environment}/terraform.tfstate"
  } }

  resources = { for environment, its in local.things : environment => {
    repository = ["arn:${local.partition}:ecr:${its.here}:repository/${its.name}"]
    buckets    = ["arn:${local.partition}:s3:::${its.name}-*"]
    roles      = ["arn:${local.partition}:iam::${local.account_id}:role/${its.name}-*"]
    function   = ["arn:${local.partition}:lambda:${its.here}:function:${its.name}*"]
    jobs       = ["arn:${local.partition}:states:${its.here}:stateMachine:${its.name}-*"]
    rules      = ["arn:${local.partition}:events:${its.here}:rule/${its.name}-*"]
    topics     = ["arn:${local.partition}:sns:${its.here}:${its.name}-*"]
    alarms = [
      "arn:${local.partition}:cloudwatch:${its.here}:alarm:${its.name}-*",
      "arn:${local.partition}:cloudwatch::${local.account_id}:dashboard/${its.name}*",
    ]
    rollouts = [
      "arn:${local.partition}:codedeploy:${its.here}:application:${its.name}*",
      "arn:${local.partition}:codedeploy:${its.here}:deploymentgroup:${its.name}*",
      "arn:${local.partition}:codedeploy:${its.here}:deploymentconfig:*",
    ]
    logs = [
      "arn:${local.partition}:logs:${its.here}:log-group:/aws/lambda/${its.name}*",
      "arn:${local.partition}:logs:${its.here}:log-group:/aws/apigateway/${its.name}*",
      "arn:${local.partition}:logs:${its.here}:log-group:/aws/vendedlogs/states/${its.name}*",
      "arn:${local.partition}:logs:${its.here}:log-group:API-Gateway-Execution-Logs_*", # named by the API's identifier
    ]
    secrets = ["arn:${local.partition}:secretsmanager:${its.here}:secret:${its.name}-*"]
    apis = [ # known by identifiers that AWS makes
      "arn:${local.partition}:apigateway:${var.aws_region}::/restapis",
      "arn:${local.partition}:apigateway:${var.aws_region}::/restapis/*",
      "arn:${local.partition}:apigateway:${var.aws_region}::/apikeys",
      "arn:${local.partition}:apigateway:${var.aws_region}::/apikeys/*",
      "arn:${local.partition}:apigateway:${var.aws_region}::/usageplans",
      "arn:${local.partition}:apigateway:${var.aws_region}::/usageplans/*",
      "arn:${local.partition}:apigateway:${var.aws_region}::/tags/*",
    ]
  } }

  rights = { for environment, its in local.resources : environment => {
    read = [
      {
        Sid      = "ReadState"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${aws_s3_bucket.state.arn}/${local.things[environment].state}"
      },
      {
        Sid       = "FindState"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = aws_s3_bucket.state.arn
        Condition = { StringLike = { "s3:prefix" = "${var.project_name}/${environment}/*" } }
      },
      {
        Sid    = "ReadWhatThereIs"
        Effect = "Allow"
        Action = [
          "apigateway:GET", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource", "codedeploy:Get*",
          "codedeploy:List*", "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:DescribeRepositories",
          "ecr:GetDownloadUrlForLayer", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListTagsForResource",
          "events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule",
          "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies",
          "lambda:Get*", "lambda:List*", "logs:ListTagsForResource", "s3:GetBucket*", "s3:GetEncryptionConfiguration",
          "s3:GetLifecycleConfiguration", "s3:GetAccelerateConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket",
          "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy", "secretsmanager:GetSecretValue",
          "sns:GetTopicAttributes", "sns:GetSubscriptionAttributes", "sns:ListTagsForResource",
          "states:DescribeStateMachine", "states:ListStateMachineVersions", "states:ListTagsForResource",
          "states:ValidateStateMachineDefinition",
        ]
        Resource = flatten([for name, arns in its : arns])
      },
      {
        Sid      = "FindByList" # these know no names
        Effect   = "Allow"
        Action   = ["cloudwatch:DescribeAlarms", "ecr:DescribeRepositories", "ecr:GetAuthorizationToken", "logs:DescribeLogGroups"]
        Resource = "*"
      },
    ]
    push = [{
      Sid      = "PushImages"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
      Resource = its.repository
    }]
    take = [{
      Sid      = "TakeTestedImages"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = "arn:${local.partition}:ecr:${var.aws_region}:${coalesce(var.dev_account_id, local.account_id)}:repository/${var.project_name}-dev"
    }]
    leave-plan = [{
      Sid      = "LeavePlan"
      Effect   = "Allow"
      Action   = "s3:PutObject"
      Resource = "${aws_s3_bucket.state.arn}/plans/*"
    }]
    take-plan = [{
      Sid      = "TakePlan"
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = "${aws_s3_bucket.state.arn}/plans/*"
    }]
    lock = [{
      Sid    = "KeepStateAndLock"
      Effect = "Allow"
      Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
      Resource = [
        "${aws_s3_bucket.state.arn}/${local.things[environment].state}",
        "${aws_s3_bucket.state.arn}/${local.things[environment].state}.tflock",
      ]
    }]
    change = [
      {
        Sid    = "ChangeWhatIsItsOwn"
        Effect = "Allow"
        Action = ["cloudwatch:*", "codedeploy:*", "ecr:*", "events:*", "lambda:*", "logs:*", "s3:*", "secretsmanager:*", "sns:*", "states:*"]
        Resource = flatten([
          its.alarms, its.rollouts, its.repository, its.function, its.logs, its.buckets, [for arn in its.buckets : "${arn}/*"],
          its.secrets, its.rules, its.topics, its.jobs,
        ])
      },
      {
        Sid      = "ChangeApis"
        Effect   = "Allow"
        Action   = ["apigateway:DELETE", "apigateway:PATCH", "apigateway:POST", "apigateway:PUT"]
        Resource = its.apis
      },
      {
        # Whoever may give roles rights may do what they may do: that is why dev and prod belong in accounts of their own.
        Sid    = "ChangeRoles"
        Effect = "Allow"
        Action = [
          "iam:AttachRolePolicy", "iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:DetachRolePolicy",
          "iam:ListInstanceProfilesForRole", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy",
          "iam:UpdateRole",
        ]
        Resource = its.roles
      },
      {
        Sid      = "GiveRolesToServices"
        Effect   = "Allow"
        Action   = "iam:PassRole"
        Resource = its.roles
        Condition = {
          StringEquals = { "iam:PassedToService" = ["codedeploy.amazonaws.com", "lambda.amazonaws.com", "states.amazonaws.com"] }
        }
      },
      {
        Sid      = "ReadModel" # notebook 05 compares with it
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:ListBucket"]
        Resource = ["arn:${local.partition}:s3:::${var.model_s3_bucket}", "arn:${local.partition}:s3:::${var.model_s3_bucket}/*"]
      },
      {
        Sid    = "SendLogs" # log deliveries and X-Ray's permission know no names
        Effect = "Allow"
        Action = [
          "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeResourcePolicies", "logs:GetLogDelivery",
          "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ]
        Resource = "*"
      },
    ]
  } }
}
