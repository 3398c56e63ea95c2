# Who may take which role, what each may do, and that the state is kept well.

mock_provider "aws" {
  source = "../mocks"
}

variables {
  github_repository = "reef/anemone"
  model_s3_bucket   = "models"
}

run "each_variable_refuses_a_wrong_value" {
  command = plan
  variables {
    project_name      = "Anemone_1"
    aws_region        = "Frankfurt"
    environments      = ["staging"]
    github_repository = "reef/*"
    model_s3_bucket   = "s3://models"
    dev_account_id    = "123"
    state_bucket      = "s3://state"
  }
  expect_failures = [
    var.project_name,
    var.aws_region,
    var.environments,
    var.github_repository,
    var.model_s3_bucket,
    var.dev_account_id,
    var.state_bucket,
  ]
}

run "as_it_is_by_default" {
  # The state is kept and its plans are not
  assert {
    condition     = aws_s3_bucket.state.bucket == "anemonefish-inference-state-123456789012"
    error_message = "The bucket is not named after project and account."
  }
  assert {
    condition     = aws_s3_bucket_versioning.state.versioning_configuration[0].status == "Enabled"
    error_message = "Earlier states are not kept."
  }
  assert {
    condition     = aws_s3_bucket_public_access_block.state.restrict_public_buckets && aws_s3_bucket_public_access_block.state.block_public_policy
    error_message = "The state may become public."
  }
  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.state.rule : rule.expiration[0].days if rule.filter[0].prefix == "plans/"] == [1]
    error_message = "Plans are kept longer than a day."
  }

  # Each role trusts one environment of one repository
  assert {
    condition     = keys(aws_iam_role.github) == ["dev", "dev-plan", "prod", "prod-image"]
    error_message = "The roles are not those of the workflow."
  }
  assert {
    condition = alltrue([
      for name, role in aws_iam_role.github : jsondecode(role.assume_role_policy).Statement == [{
        Effect    = "Allow"
        Action    = "sts:AssumeRoleWithWebIdentity"
        Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com" }
        Condition = { StringEquals = {
          "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com"
          "token.actions.githubusercontent.com:sub" = "repo:reef/anemone:environment:${name}"
        } }
      }]
    ])
    error_message = "A role can be taken from elsewhere than its environment of the repository."
  }

  # Who plans changes nothing
  assert {
    condition = alltrue([
      for action in flatten([for statement in jsondecode(aws_iam_role_policy.github["dev-plan-read"].policy).Statement : statement.Action]) :
      can(regex("^[a-z0-9]+:(GET|Get|List|Describe|BatchGet|Validate)", action))
    ])
    error_message = "The role that plans may change something."
  }
  assert {
    condition     = length([for name in keys(aws_iam_role_policy.github) : name if startswith(name, "dev-plan-")]) == 1
    error_message = "The role that plans may do more than read."
  }
  assert {
    condition     = !contains(keys(aws_iam_role_policy.github), "prod-image-change") && !contains(keys(aws_iam_role_policy.github), "prod-push")
    error_message = "Images and changes of prod are not apart."
  }

  # The rights of an environment end at its names
  assert {
    condition = alltrue(flatten([
      for name, policy in aws_iam_role_policy.github : [
        for statement in jsondecode(policy.policy).Statement : [
          for resource in flatten([statement.Resource]) : !strcontains(resource, startswith(name, "dev") ? "inference-prod" : "inference-dev")
        ] if statement.Sid != "TakeTestedImages"
      ]
    ]))
    error_message = "A role reaches the other environment."
  }
  assert {
    condition = toset(flatten([
      for policy in aws_iam_role_policy.github : [for statement in jsondecode(policy.policy).Statement : statement.Sid if contains(flatten([statement.Resource]), "*")]
    ])) == toset(["FindByList", "SendLogs"])
    error_message = "A right that could be bound to names is not."
  }

  # What the options make may be made
  assert {
    condition = length(setsubtract(
      ["ec2:CreateSecurityGroup", "ec2:CreateVpcEndpoint", "ec2:DeleteVpcEndpoints", "wafv2:CreateWebACL", "apigateway:SetWebACL"],
      flatten([for statement in jsondecode(aws_iam_role_policy.github["prod-change"].policy).Statement : statement.Action])
    )) == 0
    error_message = "enable_waf or vpc cannot be applied by the workflow."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.github["prod-change"].policy).Statement :
      statement.Sid == "MakeItInVpcs" || try(strcontains(jsonencode(statement.Condition), "prod"), false) if strcontains(jsonencode(statement.Action), "\"ec2:")
    ])
    error_message = "A network that is not the environment's can be changed."
  }

  # Without being asked for there is no shared repository
  assert {
    condition     = output.shared_repository_name == null && !contains(keys(aws_iam_role_policy.github), "prod-tag")
    error_message = "There is a shared repository though nobody asked."
  }
}

run "policies_are_no_longer_than_aws_takes_also_with_the_longest_names" {
  variables {
    project_name      = "abcdefghij-abcdefghij-abcd"
    aws_region        = "ap-southeast-5"
    shared_repository = true
  }
  assert {
    condition     = alltrue([for role, its in local.roles : sum([for may in its.may : length(aws_iam_role_policy.github["${role}-${may}"].policy)]) <= 10240])
    error_message = "A role has more than the 10,240 characters that its policies may have together."
  }
}

run "an_account_has_the_roles_of_its_environments" {
  variables {
    environments   = ["prod"]
    dev_account_id = "999999999999"
  }
  assert {
    condition     = keys(output.roles) == ["prod", "prod-image"]
    error_message = "There are roles of an environment that is elsewhere."
  }
  assert {
    condition     = jsondecode(aws_iam_role_policy.github["prod-image-take"].policy).Statement[0].Resource == ["arn:aws:ecr:us-east-1:999999999999:repository/anemonefish-inference-dev"]
    error_message = "Tested images are not taken from dev's account."
  }
}

run "one_repository_for_both_is_pushed_by_dev_taken_by_prod_and_changed_by_neither" {
  variables {
    shared_repository = true
  }
  assert {
    condition     = output.shared_repository_name == "anemonefish-inference-shared" && output.shared_repository_url != null
    error_message = "There is no shared repository, or it has another name."
  }
  assert {
    condition = alltrue([
      for name in ["dev-push", "prod-image-push", "prod-tag", "dev-read", "prod-read", "dev-plan-read"] : strcontains(aws_iam_role_policy.github[name].policy, "repository/anemonefish-inference-shared")
    ])
    error_message = "An environment cannot read, push or keep what is in the shared repository."
  }
  assert {
    condition     = !strcontains(aws_iam_role_policy.github["dev-change"].policy, "inference-shared") && !strcontains(aws_iam_role_policy.github["prod-change"].policy, "inference-shared")
    error_message = "An environment may change or delete the repository of both."
  }
}

run "a_shared_repository_needs_both_environments" {
  command = plan
  variables {
    shared_repository = true
    environments      = ["prod"]
  }
  expect_failures = [var.shared_repository]
}
