# What the roles may do. All resources of an environment are named <project>-<environment>…, and its rights cover only these
# names. If AWS has no names for something (identifiers of APIs, lists), a comment says so.

locals {
  # Names by service, as ARNs of what belongs to an environment.
  things = { for environment in var.environments : environment => {
    name  = "${var.project_name}-${environment}"
    here  = "${var.aws_region}:${local.account_id}"
    state = "${var.project_name}/${environment}/terraform.tfstate"
  } }

  resources = { for environment, its in local.things : environment => {
    repository = ["arn:${local.partition}:ecr:${its.here}:repository/${its.name}"]
    shared     = [for name in var.shared_repository ? ["${var.project_name}-shared"] : [] : "arn:${local.partition}:ecr:${its.here}:repository/${name}"]
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
    firewalls = ["arn:${local.partition}:wafv2:${its.here}:regional/webacl/${its.name}/*"]
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

  # What the environments' provider tags everything with.
  tags         = { for environment in var.environments : environment => { Environment = environment, Project = var.project_name } }
  network_arns = [for kind in ["security-group", "security-group-rule", "vpc-endpoint"] : "arn:${local.partition}:ec2:${var.aws_region}:${local.account_id}:${kind}/*"]

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
          "apigateway:GET", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource",
          "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:DescribeRepositories",
          "ecr:GetDownloadUrlForLayer", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListTagsForResource",
          "events:DescribeRule", "events:ListTagsForResource", "events:ListTargetsByRule",
          "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies",
          "lambda:Get*", "lambda:List*", "logs:ListTagsForResource", "s3:GetBucket*", "s3:GetEncryptionConfiguration",
          "s3:GetLifecycleConfiguration", "s3:GetAccelerateConfiguration", "s3:GetReplicationConfiguration", "s3:ListBucket",
          "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy", "secretsmanager:GetSecretValue",
          "sns:GetTopicAttributes", "sns:GetSubscriptionAttributes", "sns:ListTagsForResource",
          "states:DescribeStateMachine", "states:ListStateMachineVersions", "states:ListTagsForResource",
          "states:ValidateStateMachineDefinition", "wafv2:GetWebACL", "wafv2:GetWebACLForResource", "wafv2:ListTagsForResource",
        ]
        Resource = flatten([for name, arns in its : arns])
      },
      {
        Sid    = "FindByList" # these have no names
        Effect = "Allow"
        Action = [
          "cloudwatch:DescribeAlarms", "ec2:DescribeNetworkInterfaces", "ec2:DescribePrefixLists", "ec2:DescribeRouteTables",
          "ec2:DescribeSecurityGroupRules", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints",
          "ec2:DescribeVpcEndpointServices", "ec2:DescribeVpcs", "ecr:DescribeRepositories", "ecr:GetAuthorizationToken",
          "logs:DescribeLogGroups",
        ]
        Resource = "*"
      },
    ]
    push = [{
      Sid      = "PushImages"
      Effect   = "Allow"
      Action   = ["ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"]
      Resource = concat(its.repository, its.shared)
    }]
    tag = [for shared in its.shared : { # the image that runs, so that it is kept
      Sid      = "TagImages"
      Effect   = "Allow"
      Action   = "ecr:PutImage"
      Resource = shared
    }]
    take = [{
      Sid      = "TakeTestedImages"
      Effect   = "Allow"
      Action   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = concat(["arn:${local.partition}:ecr:${var.aws_region}:${coalesce(var.dev_account_id, local.account_id)}:repository/${var.project_name}-dev"], its.shared)
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
        Action = ["cloudwatch:*", "ecr:*", "events:*", "lambda:*", "logs:*", "s3:*", "secretsmanager:*", "sns:*", "states:*", "wafv2:*"]
        Resource = flatten([
          its.alarms, its.firewalls, its.repository, its.function, its.logs, its.buckets, [for arn in its.buckets : "${arn}/*"],
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
        Sid    = "PutFirewallsBeforeApis" # of its own, or of others (waf_web_acl_arn); rules that AWS manages belong to no account
        Effect = "Allow"
        Action = [
          "apigateway:SetWebACL", "wafv2:AssociateWebACL", "wafv2:CreateWebACL", "wafv2:DisassociateWebACL", "wafv2:GetWebACLForResource",
          "wafv2:UpdateWebACL",
        ]
        Resource = concat(its.firewalls, [
          "arn:${local.partition}:apigateway:${var.aws_region}::/restapis/*/stages/*",
          "arn:${local.partition}:wafv2:${local.things[environment].here}:regional/managedruleset/*",
        ])
      },
      {
        Sid      = "UseFirewallsOfOthers"
        Effect   = "Allow"
        Action   = ["wafv2:AssociateWebACL", "wafv2:GetWebACL", "wafv2:GetWebACLForResource"]
        Resource = "arn:${local.partition}:wafv2:${local.things[environment].here}:regional/webacl/*"
      },
      {
        # Security groups and endpoints are known by identifiers that AWS makes; the tags of the environment tell its own.
        Sid       = "MakeNetwork"
        Effect    = "Allow"
        Action    = ["ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateSecurityGroup", "ec2:CreateTags", "ec2:CreateVpcEndpoint"]
        Resource  = local.network_arns
        Condition = { StringEquals = { for name, value in local.tags[environment] : "aws:RequestTag/${name}" => value } }
      },
      {
        Sid      = "MakeItInVpcs"
        Effect   = "Allow"
        Action   = ["ec2:CreateSecurityGroup", "ec2:CreateVpcEndpoint"]
        Resource = [for kind in ["route-table", "security-group", "subnet", "vpc"] : "arn:${local.partition}:ec2:${local.things[environment].here}:${kind}/*"]
      },
      {
        Sid    = "ChangeNetwork"
        Effect = "Allow"
        Action = [
          "ec2:AuthorizeSecurityGroupEgress", "ec2:AuthorizeSecurityGroupIngress", "ec2:CreateTags", "ec2:DeleteSecurityGroup",
          "ec2:DeleteTags", "ec2:DeleteVpcEndpoints", "ec2:ModifySecurityGroupRules", "ec2:ModifyVpcEndpoint",
          "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
        ]
        Resource  = local.network_arns
        Condition = { StringEquals = { for name, value in local.tags[environment] : "aws:ResourceTag/${name}" => value } }
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
          StringEquals = { "iam:PassedToService" = ["lambda.amazonaws.com", "states.amazonaws.com"] }
        }
      },
      {
        Sid      = "ReadModel" # notebook 05 compares with it
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:ListBucket"]
        Resource = ["arn:${local.partition}:s3:::${var.model_s3_bucket}", "arn:${local.partition}:s3:::${var.model_s3_bucket}/*"]
      },
      {
        Sid    = "SendLogs" # log deliveries and X-Ray's permission have no names
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
